//! Runs the real binary in a pseudo-terminal: what a person sees, as bytes and as a rendered screen.

use std::ffi::OsStr;
use std::io::{Read as _, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use tempfile::TempDir;

use super::patience::PATIENCE;
use super::sen::{SEN, clean_environment};

/// A command line to be run in a terminal.
pub struct Terminal {
    command: CommandBuilder,
    size: PtySize,
    home: TempDir,
}

/// What was shown, at the end.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Everything the program wrote, escape sequences included.
    pub raw: Vec<u8>,
    /// The last screen, without attributes, trailing blanks removed.
    pub screen: String,
    /// The exit code.
    pub code: u32,
}

/// `sen` with these arguments in a terminal of 24 rows and 80 columns.
pub fn terminal<I: IntoIterator<Item: AsRef<OsStr>>>(args: I) -> Terminal {
    let home = tempfile::tempdir().expect("a folder can be made");
    let mut command = CommandBuilder::new(SEN);
    command.args(args);
    command.env_clear();
    for (name, value) in clean_environment() {
        command.env(name, value);
    }
    command.env("HOME", home.path());
    command.env("TERM", "xterm-256color");
    command.cwd(home.path());
    Terminal { command, size: PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 }, home }
}

impl Terminal {
    /// Another size.
    pub fn size(mut self, rows: u16, columns: u16) -> Self {
        self.size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it in this folder instead of its empty home.
    pub fn cwd(mut self, folder: &Path) -> Self {
        self.command.cwd(folder);
        self
    }

    /// Sets `DATABASE_URL`.
    pub fn database(self, url: &str) -> Self {
        self.env("DATABASE_URL", url)
    }

    /// Runs it to its end.
    pub fn run(self) -> Shown {
        self.start().finish()
    }

    /// Starts it, so that the test can type.
    pub fn start(self) -> Live {
        let pair = native_pty_system().openpty(self.size).expect("a pseudo-terminal can be opened");
        let child = pair.slave.spawn_command(self.command).expect("the binary can be started");
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().expect("a terminal can be read");
        let keyboard = pair.master.take_writer().expect("a terminal can be written");
        let raw = Arc::new(Mutex::new(Written::default()));
        let sink = Arc::clone(&raw);
        let pump = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // Reading fails, rather than ends, when the last process has let go of the terminal.
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                let mut written = sink.lock().unwrap_or_else(PoisonError::into_inner);
                written.bytes.extend_from_slice(&buffer[..length]);
                let end = written.bytes.len();
                written.ends.push(end);
            }
        });
        let (mark, pump) = (AtomicUsize::new(0), Some(pump));
        Live { child, keyboard, master: pair.master, raw, mark, pump, size: self.size, _home: self.home }
    }
}

/// What the program wrote.
#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    /// Where each piece of it ended: what stood on the screen, one picture after another.
    ends: Vec<usize>,
}

/// A program running in a terminal; dropping it kills it.
pub struct Live {
    child: Box<dyn Child + Send + Sync>,
    keyboard: Box<dyn Write + Send>,
    master: Box<dyn MasterPty + Send>,
    raw: Arc<Mutex<Written>>,
    /// Up to where what was written has been waited for, or was there when the test last acted.
    mark: AtomicUsize,
    pump: Option<JoinHandle<()>>,
    size: PtySize,
    _home: TempDir,
}

impl Live {
    /// Types something; Ctrl-C is `"\u{3}"`, Enter is `"\r"`.
    pub fn type_keys(&mut self, keys: &str) {
        self.mark_now();
        self.keyboard.write_all(keys.as_bytes()).and_then(|()| self.keyboard.flush()).expect("the terminal takes keys");
    }

    /// Changes the size, as a person dragging the window does.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        self.mark_now();
        self.size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        self.master.resize(self.size).expect("a terminal can be resized");
    }

    /// The screen now.
    pub fn screen(&self) -> String {
        render(&self.written().bytes, self.size)
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.raw.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mark_now(&self) {
        self.mark.store(self.written().bytes.len(), Ordering::Relaxed);
    }

    /// Everything written so far, escape sequences included.
    pub fn raw(&self) -> Vec<u8> {
        self.written().bytes.clone()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_none()
    }

    /// The program's process id.
    pub fn pid(&self) -> rustix::process::Pid {
        let id = self.child.process_id().and_then(|id| i32::try_from(id).ok()).expect("the program runs");
        rustix::process::Pid::from_raw(id).expect("a process id is positive")
    }

    /// Waits until the screen shows this text, or has shown it since the test last acted or waited: what is shown for a while
    /// only may be gone again when a test that was held up looks.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        self.wait_until(text, |screen| screen.contains(text));
    }

    /// The same for anything that can be seen on a screen.
    #[track_caller]
    pub fn wait_until(&self, what: &str, shows: impl Fn(&str) -> bool) {
        let start = Instant::now();
        let mut looked_at = self.mark.load(Ordering::Relaxed);
        loop {
            let (bytes, ends) = {
                let written = self.written();
                let first = written.ends.partition_point(|end| *end <= looked_at);
                (written.bytes.clone(), written.ends[first..].to_vec())
            };
            let pictures = [looked_at].into_iter().chain(ends);
            for end in pictures {
                if shows(&render(&bytes[..end], self.size)) {
                    self.mark.store(end, Ordering::Relaxed);
                    return;
                }
                looked_at = end;
            }
            assert!(start.elapsed() < PATIENCE, "{what:?} never appeared; the screen:\n{}", self.screen());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Shown {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "sen did not end in {PATIENCE:?}; the screen:\n{}", self.screen());
            std::thread::sleep(Duration::from_millis(5));
        };
        if let Some(pump) = self.pump.take() {
            pump.join().expect("the reader does not panic");
        }
        let raw = self.raw();
        Shown { screen: render(&raw, self.size), raw, code: status.exit_code() }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
        }
    }
}

fn render(raw: &[u8], size: PtySize) -> String {
    let mut parser = vt100::Parser::new(size.rows, size.cols, 0);
    parser.process(raw);
    let rows: Vec<String> = parser.screen().rows(0, size.cols).map(|row| row.trim_end().to_owned()).collect();
    let mut screen = rows.join("\n").trim_end().to_owned();
    screen.push('\n');
    screen
}
