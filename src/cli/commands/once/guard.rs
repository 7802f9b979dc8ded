//! A process beside `sen` that ends the command when `sen` itself is killed: without its parent the command would go on without
//! a lease. It is this program again, holding nothing but one end of a pipe; when the pipe closes without a word, `sen` is
//! gone.

use std::io::{self, BufRead as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use sen_core::time::Uptime;

/// The first argument of the process that watches.
pub const WORD: &str = "__watch";

/// What the watching process is told at the end.
const DONE: &str = "done";

/// `sen`'s side of it.
pub struct Guard {
    child: Child,
    pipe: Option<ChildStdin>,
}

impl Guard {
    /// Starts the watching process. It shares neither the environment nor the streams nor the process group of `sen`.
    pub fn start() -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        let program = std::path::PathBuf::from("/proc/self/exe");
        #[cfg(not(target_os = "linux"))]
        let program = std::env::current_exe()?;
        let mut child = Command::new(program)
            .arg(WORD)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let pipe = child.stdin.take();
        Ok(Self { child, pipe })
    }

    /// Names the process group that is to end with `sen`, and how long after SIGTERM it is killed.
    pub fn over(&mut self, group: Pid, grace: Duration) -> io::Result<()> {
        let line = format!("{} {}\n", group.as_raw_nonzero(), grace.as_millis());
        self.pipe.as_mut().map_or(Ok(()), |pipe| pipe.write_all(line.as_bytes()))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            let _ = pipe.write_all(format!("{DONE}\n").as_bytes());
        }
        // It ends by itself now; nothing waits for it but the system.
        let _ = self.child.try_wait();
    }
}

/// The watching process: waits for `sen`'s end, and for a word that all is well.
pub fn run() -> ExitCode {
    let mut lines = io::stdin().lock().lines();
    let Some((group, grace)) = lines.next().and_then(Result::ok).and_then(|line| parse(&line)) else {
        return ExitCode::SUCCESS;
    };
    if lines.next().and_then(Result::ok).as_deref() == Some(DONE) {
        return ExitCode::SUCCESS;
    }
    let _ = kill_process_group(group, Signal::TERM);
    // A stopped command cannot end itself.
    let _ = kill_process_group(group, Signal::CONT);
    let until = Uptime::now().plus(grace);
    while test_kill_process_group(group).is_ok() {
        if Uptime::now() >= until {
            let _ = kill_process_group(group, Signal::KILL);
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    ExitCode::SUCCESS
}

fn parse(line: &str) -> Option<(Pid, Duration)> {
    let (group, grace) = line.split_once(' ')?;
    // 1 would be every process there is.
    let group = group.parse().ok().filter(|group| *group > 1).and_then(Pid::from_raw)?;
    Some((group, Duration::from_millis(grace.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_real_group_is_watched() {
        assert!(parse("77 250").is_some());
        for wrong in ["", "77", "0 5", "1 5", "-3 5", "x 5", "77 x"] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }
}
