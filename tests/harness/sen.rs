//! Runs the real binary: clean environment, a home of its own, both streams, the exit code, and a limit in time.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use super::patience::{PATIENCE, until};

/// The program under test.
pub const SEN: &str = env!("CARGO_BIN_EXE_sen");

/// A command line to be run.
pub struct Sen {
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    stdin: Option<Vec<u8>>,
    cwd: Option<PathBuf>,
    timeout: Duration,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// Standard output, as text.
    pub stdout: String,
    /// Standard error, as text.
    pub stderr: String,
    /// The exit code; minus the signal's number when a signal ended it.
    pub code: i32,
    /// How long it took.
    pub took: Duration,
}

impl Output {
    /// Checks the exit code and shows everything when it is another one.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// Standard output as one JSON document.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!("stdout is not JSON: {error}\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr)
        })
    }

    /// Both streams and the code as one text, for a snapshot.
    pub fn transcript(&self) -> String {
        format!("--- stdout\n{}--- stderr\n{}--- exit {}\n", self.stdout, self.stderr, self.code)
    }
}

/// `sen` with these arguments.
pub fn sen<I: IntoIterator<Item: AsRef<OsStr>>>(args: I) -> Sen {
    Sen {
        args: args.into_iter().map(|arg| arg.as_ref().to_owned()).collect(),
        env: Vec::new(),
        stdin: None,
        cwd: None,
        timeout: PATIENCE,
    }
}

/// How records name whoever runs the tests: the user of this process and an `@`, whatever `USER` says.
pub fn operator() -> String {
    let output = Command::new("id").arg("-un").output().expect("id is part of every system");
    format!("{}@", String::from_utf8_lossy(&output.stdout).trim())
}

/// What every run inherits: nothing but the search path (and where coverage tools want their counts).
pub fn clean_environment() -> impl Iterator<Item = (&'static str, OsString)> {
    ["PATH", "LLVM_PROFILE_FILE"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)))
}

impl Sen {
    /// Sets an environment variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets `DATABASE_URL`.
    pub fn database(self, url: &str) -> Self {
        self.env("DATABASE_URL", url)
    }

    /// Gives it something to read; without this standard input is empty.
    pub fn stdin(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(input.into());
        self
    }

    /// Runs it in this folder instead of its empty home.
    pub fn cwd(mut self, folder: impl AsRef<Path>) -> Self {
        self.cwd = Some(folder.as_ref().to_owned());
        self
    }

    /// After this time it is killed and the test fails ([`PATIENCE`] unless told).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Runs it to its end.
    pub fn run(self) -> Output {
        self.start().finish()
    }

    /// Starts it, so that the test can act meanwhile.
    pub fn start(self) -> Running {
        let home = tempfile::tempdir().expect("a folder can be made");
        let mut command = Command::new(SEN);
        command.args(&self.args).env_clear().envs(clean_environment()).env("HOME", home.path());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.cwd.as_deref().unwrap_or(home.path()));
        command.stdin(if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own, so that a time-out also ends what it started.
        command.process_group(0);
        let started = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {SEN}: {error}"));
        if let (Some(input), Some(mut pipe)) = (self.stdin, child.stdin.take()) {
            std::thread::spawn(move || {
                let _ = pipe.write_all(&input);
            });
        }
        let stdout = collect(child.stdout.take().expect("stdout is piped"));
        let stderr = collect(child.stderr.take().expect("stderr is piped"));
        Running { child, stdout, stderr, started, timeout: self.timeout, _home: home }
    }
}

/// A run that has not ended yet; dropping it kills it.
pub struct Running {
    child: Child,
    stdout: Stream,
    stderr: Stream,
    started: Instant,
    timeout: Duration,
    _home: TempDir,
}

impl Running {
    /// Its process id, which is also its group's.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_none()
    }

    /// Sends it (not what it started) a signal.
    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(pid_of(&self.child), signal).expect("a child can be signalled");
    }

    /// Waits until what it has printed so far is as it should be.
    #[track_caller]
    pub fn wait_until(&self, what: &str, printed: impl Fn(&str) -> bool) {
        until(what, || printed(&self.stdout.text()));
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Output {
        let status = self.wait();
        let took = self.started.elapsed();
        let (stdout, stderr) = (self.stdout.whole(), self.stderr.whole());
        let Some(status) = status else {
            panic!("sen did not end in {:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}", self.timeout);
        };
        Output { stdout, stderr, code: code_of(status), took }
    }

    /// None when it had to be killed for taking too long.
    fn wait(&mut self) -> Option<ExitStatus> {
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return Some(status);
            }
            if self.started.elapsed() > self.timeout {
                self.kill();
                return None;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn kill(&mut self) {
        let _ = rustix::process::kill_process_group(pid_of(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.kill();
        }
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
}

fn code_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| -status.signal().unwrap_or_default())
}

/// What a child writes, collected as it comes.
struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Stream {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// All of it, once it has ended.
    fn whole(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader does not panic");
        }
        self.text()
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> Stream {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&bytes);
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 64 * 1024];
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            sink.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..length]);
        }
    });
    Stream { bytes, reader: Some(reader) }
}
