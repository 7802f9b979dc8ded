//! A second process that ends the command when `sen` is killed, because the command would go on without a lease. It is this
//! program again, with one end of a pipe; when the pipe closes without a message, `sen` has died.

use std::io::{self, BufRead as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, getpgid, kill_process_group, test_kill_process_group};
use sen_core::once::Held;
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
    /// Starts the watching process. It shares neither the environment nor the streams nor the process group of `sen`. `grace` is
    /// how long after SIGTERM the command is killed.
    pub fn start(held: &Held, grace: Duration) -> io::Result<Self> {
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
        let mut guard = Self { child, pipe };
        // A value in the command's environment, to find it if `sen` is killed while starting it.
        let key = serde_json::Value::from(held.key.as_str());
        guard.tell(&format!("{} {} {key}", grace.as_millis(), held.token))?;
        Ok(guard)
    }

    fn tell(&mut self, line: &str) -> io::Result<()> {
        self.pipe.as_mut().map_or(Ok(()), |pipe| pipe.write_all(format!("{line}\n").as_bytes()))
    }

    /// Names the process group that is to end with `sen`.
    pub fn over(&mut self, group: Pid) -> io::Result<()> {
        self.tell(&group.as_raw_nonzero().to_string())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.tell(DONE);
        self.pipe.take();
        // It ends by itself now; the system reaps it.
        let _ = self.child.try_wait();
    }
}

/// The watching process: waits for `sen`'s end, and for a word that all is well.
pub fn run() -> ExitCode {
    let mut lines = io::stdin().lock().lines();
    let mut next = || lines.next().and_then(Result::ok);
    let Some(run) = next().and_then(|line| Run::parse(&line)) else { return ExitCode::SUCCESS };
    let named = next();
    if named.as_deref() == Some(DONE) || (named.is_some() && next().as_deref() == Some(DONE)) {
        return ExitCode::SUCCESS;
    }
    let group = match named {
        Some(line) => group(&line),
        None => run.find(),
    };
    let Some(group) = group else { return ExitCode::SUCCESS };
    let _ = kill_process_group(group, Signal::TERM);
    // A stopped command cannot end itself.
    let _ = kill_process_group(group, Signal::CONT);
    let until = Uptime::now().plus(run.grace);
    while test_kill_process_group(group).is_ok() {
        if Uptime::now() >= until {
            let _ = kill_process_group(group, Signal::KILL);
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    ExitCode::SUCCESS
}

/// What is known of a run before it is started.
#[derive(Debug, PartialEq)]
struct Run {
    grace: Duration,
    token: i64,
    key: String,
}

impl Run {
    fn parse(line: &str) -> Option<Self> {
        let (grace, rest) = line.split_once(' ')?;
        let (token, key) = rest.split_once(' ')?;
        let grace = Duration::from_millis(grace.parse().ok()?);
        Some(Self { grace, token: token.parse().ok()?, key: serde_json::from_str(key).ok()? })
    }

    /// The group of a command that was started and not named any more: by the key and the token in its environment. It may
    /// need a moment to have that environment.
    fn find(&self) -> Option<Pid> {
        for _ in 0..50 {
            let found = std::fs::read_dir("/proc").ok()?.filter_map(Result::ok).find_map(|entry| {
                let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
                let environment = std::fs::read(entry.path().join("environ")).ok()?;
                let has = |wanted: String| environment.split(|byte| *byte == 0).any(|word| word == wanted.as_bytes());
                let ours = has(format!("SEN_KEY={}", self.key)) && has(format!("SEN_FENCING_TOKEN={}", self.token));
                // It leads its own process group; its children may have left that.
                ours.then(|| getpgid(Some(pid)).ok()).flatten().filter(|group| *group == pid)
            });
            if found.is_some() {
                return found;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

/// 1 would be every process there is.
fn group(line: &str) -> Option<Pid> {
    line.parse().ok().filter(|group| *group > 1).and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_real_group_is_watched() {
        assert!(group("77").is_some());
        for wrong in ["", "0", "1", "-3", "x", "77 x"] {
            assert!(group(wrong).is_none(), "{wrong}");
        }
        let run = Run { grace: Duration::from_millis(250), token: 7, key: "a b\n".into() };
        assert_eq!(Run::parse(r#"250 7 "a b\n""#), Some(run));
        assert_eq!(Run::parse("250 7 a"), None);
    }
}
