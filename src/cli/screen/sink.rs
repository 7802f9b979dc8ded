//! The destination of stdout: written directly, or buffered until it is known whether a pager is needed.

use std::io::{self, Write};
use std::process::{Child, Command, Stdio};

/// Takes the output of one view.
pub struct Sink {
    target: Target,
    direct: Box<dyn Write>,
    held: Vec<u8>,
    /// The pager to start, and how many lines fit on the screen without one.
    pager: Option<(String, usize)>,
}

enum Target {
    /// Nothing has left yet.
    Held,
    Direct,
    Pager(Pager),
}

impl Sink {
    /// A sink into `direct`, or into `pager` (a command) once there are more than so many lines.
    pub fn new(direct: Box<dyn Write>, pager: Option<(String, usize)>) -> Self {
        let target = if pager.is_some() { Target::Held } else { Target::Direct };
        Self { target, direct, held: Vec::new(), pager }
    }

    /// Whether nothing has been shown because a pager may yet be needed.
    pub fn holds(&self) -> bool {
        matches!(self.target, Target::Held)
    }

    /// Writes out and empties `bytes`.
    ///
    /// # Errors
    /// What the stream reports; `BrokenPipe` when the pipe is closed.
    pub fn take(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        if self.holds() {
            self.held.append(bytes);
            let fits = self.pager.as_ref().map_or(0, |(_, lines)| *lines);
            if self.held.iter().filter(|byte| **byte == b'\n').count() <= fits {
                return Ok(());
            }
            // If the pager cannot be started, the output is printed.
            let pager = self.pager.take().and_then(|(command, _)| Pager::start(&command).ok());
            self.target = pager.map_or(Target::Direct, Target::Pager);
            *bytes = std::mem::take(&mut self.held);
        }
        let written = match &mut self.target {
            Target::Pager(pager) => pager.write_all(bytes),
            Target::Direct => self.direct.write_all(bytes),
            Target::Held => Ok(()),
        };
        bytes.clear();
        written
    }

    /// Writes what is buffered now, without a pager if none was started: the output may be watched.
    ///
    /// # Errors
    /// As for [`Sink::take`].
    pub fn flush(&mut self) -> io::Result<()> {
        if self.holds() {
            if self.held.is_empty() {
                return Ok(());
            }
            self.target = Target::Direct;
        }
        let held = std::mem::take(&mut self.held);
        match &mut self.target {
            Target::Direct => {
                self.direct.write_all(&held)?;
                self.direct.flush()
            }
            Target::Pager(pager) => pager.flush(),
            Target::Held => Ok(()),
        }
    }
}

/// A running pager.
struct Pager(Child);

impl Pager {
    fn start(command: &str) -> io::Result<Self> {
        // PAGER is a shell command. Plain words are started directly, so that a missing program is noticed here and not by
        // a shell that then drops the output.
        let plain = command.chars().all(|c| c.is_ascii_alphanumeric() || " -_./+=:,%@".contains(c));
        let mut process = if plain {
            let mut words = command.split(' ').filter(|word| !word.is_empty());
            let mut process = Command::new(words.next().unwrap_or("less"));
            process.args(words);
            process
        } else {
            let mut process = Command::new("sh");
            process.args(["-c", command]);
            process
        };
        if std::env::var_os("LESS").is_none() {
            process.env("LESS", "FRX");
        }
        if std::env::var_os("LV").is_none() {
            process.env("LV", "-c");
        }
        process.stdin(Stdio::piped()).spawn().map(Self)
    }
}

impl Write for Pager {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.stdin.as_mut().map_or(Err(io::ErrorKind::BrokenPipe.into()), |stdin| stdin.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.stdin.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for Pager {
    /// Also on the way out after Ctrl-C: a pager left behind would fight the shell for the terminal.
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    #[derive(Clone, Default)]
    struct Shown(Rc<RefCell<Vec<u8>>>);

    impl Write for Shown {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn short_output_needs_no_pager() {
        let shown = Shown::default();
        let mut sink = Sink::new(Box::new(shown.clone()), Some(("/nonexistent/pager".into(), 2)));
        sink.take(&mut b"1\n2\n".to_vec()).unwrap();
        assert!(sink.holds() && shown.0.borrow().is_empty());
        sink.flush().unwrap();
        sink.take(&mut b"3\n4\n5\n".to_vec()).unwrap();
        assert_eq!(*shown.0.borrow(), b"1\n2\n3\n4\n5\n");
    }

    #[test]
    fn without_its_pager_long_output_is_shown_all_the_same() {
        let shown = Shown::default();
        let mut sink = Sink::new(Box::new(shown.clone()), Some(("/nonexistent/pager -x".into(), 2)));
        sink.take(&mut b"1\n2\n".to_vec()).unwrap();
        sink.take(&mut b"3\n".to_vec()).unwrap();
        assert_eq!(*shown.0.borrow(), b"1\n2\n3\n");
    }

    #[cfg(unix)]
    #[test]
    fn long_output_goes_through_the_pager() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("page");
        let shown = Shown::default();
        let mut sink = Sink::new(Box::new(shown.clone()), Some((format!("cat > '{}'", file.display()), 1)));
        sink.take(&mut b"1\n2\n".to_vec()).unwrap();
        sink.take(&mut b"3\n".to_vec()).unwrap();
        sink.flush().unwrap();
        drop(sink);
        assert!(shown.0.borrow().is_empty());
        assert_eq!(std::fs::read(file).unwrap(), b"1\n2\n3\n");
    }

    #[cfg(unix)]
    #[test]
    fn a_pager_that_is_left_early_closes_the_pipe() {
        let mut sink = Sink::new(Box::new(Shown::default()), Some(("head -c 1 > /dev/null".into(), 0)));
        let failure = (0..1000).find_map(|_| sink.take(&mut vec![b'\n'; 1 << 16]).err());
        assert_eq!(failure.map(|error| error.kind()), Some(io::ErrorKind::BrokenPipe));
    }
}
