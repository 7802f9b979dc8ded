//! The real Python libraries as peers: which environments there are, and scripts run in them.

use std::io::{BufRead as _, BufReader, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::python::Environment;

/// Sentinel with plain TIMESTAMP columns and no events.
pub const SENTINEL_042: Environment = Environment {
    name: "sentinel-0.4.2",
    oldest: (3, 9),
    requirements: &["sentinel-coordination==0.4.2", "psycopg[binary]>=3.2,<4"],
};

/// Sentinel with TIMESTAMPTZ columns and events.
pub const SENTINEL_050: Environment = Environment {
    name: "sentinel-0.5.0",
    oldest: (3, 9),
    requirements: &["sentinel-coordination==0.5.0", "psycopg[binary]>=3.2,<4"],
};

/// The same with Django, for its migrations.
pub const SENTINEL_050_DJANGO: Environment = Environment {
    name: "sentinel-0.5.0-django",
    oldest: (3, 9),
    requirements: &["sentinel-coordination[django]==0.5.0", "psycopg[binary]>=3.2,<4", "Django>=4.2,<5"],
};

/// Senpuki before signals; its dead letters are Python's `str(task)`.
pub const SENPUKI_011: Environment =
    Environment { name: "senpuki-0.1.1", oldest: (3, 12), requirements: &["senpuki==0.1.1"] };

/// Senpuki before counters and custom state.
pub const SENPUKI_020: Environment =
    Environment { name: "senpuki-0.2.0", oldest: (3, 12), requirements: &["senpuki==0.2.0"] };

/// Senpuki, the older name of Stent.
pub const SENPUKI_030: Environment =
    Environment { name: "senpuki-0.3.0", oldest: (3, 12), requirements: &["senpuki==0.3.0"] };

/// The first Stent.
pub const STENT_100: Environment =
    Environment { name: "stent-1.0.0", oldest: (3, 12), requirements: &["stent==1.0.0"] };

/// Stent.
pub const STENT_112: Environment =
    Environment { name: "stent-1.1.2", oldest: (3, 12), requirements: &["stent==1.1.2"] };

/// Sagas whose steps are recorded in the row itself.
pub const SAGA_011: Environment = Environment {
    name: "saga-0.1.1",
    oldest: (3, 12),
    requirements: &["python-saga-orchestrator==0.1.1", "asyncpg", "aiosqlite", "greenlet"],
};

/// The same with an outbox, an inbox and waits for events.
pub const SAGA_014: Environment = Environment {
    name: "saga-0.1.4",
    oldest: (3, 12),
    requirements: &["python-saga-orchestrator==0.1.4", "asyncpg", "aiosqlite", "greenlet"],
};

/// Sagas with a history table, before waits time out.
pub const SAGA_024: Environment = Environment {
    name: "saga-0.2.4",
    oldest: (3, 12),
    requirements: &["python-saga-orchestrator==0.2.4", "asyncpg", "aiosqlite", "greenlet"],
};

/// Sagas with a history table, an outbox and an inbox.
pub const SAGA_073: Environment = Environment {
    name: "saga-0.7.3",
    oldest: (3, 12),
    requirements: &["python-saga-orchestrator==0.7.3", "asyncpg", "aiosqlite", "greenlet"],
};

/// The reader of `.env` files that Python programs use.
pub const PYTHON_DOTENV: Environment =
    Environment { name: "python-dotenv-1.1.1", oldest: (3, 9), requirements: &["python-dotenv==1.1.1"] };

/// A script below `tests/peers`, run in an environment, not yet started.
fn command(environment: &Environment, script: &str, args: &[&str]) -> Command {
    let file: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(script);
    let mut command = Command::new(environment.python());
    command.arg("-B").arg(file).args(args).env_clear();
    // No TZ and no PG* variables: the library then sees the zone its workers see.
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C.UTF-8");
    command
}

/// Runs a script to its end and returns the one JSON document it prints.
#[track_caller]
pub fn ask(environment: &Environment, script: &str, args: &[&str]) -> Value {
    let output = command(environment, script, args).stdin(Stdio::null()).output().expect("Python can be started");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} {args:?} failed:\n{stderr}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{script} printed no JSON: {error}\n{}\n{stderr}", String::from_utf8_lossy(&output.stdout))
    })
}

/// A script that goes on (its workers are its children) until its standard input closes: on drop, or with the test.
pub struct Peer {
    /// The first line it printed.
    pub made: Value,
    child: Child,
    lifeline: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts a script and waits for the line of JSON that says it is ready.
    #[track_caller]
    pub fn start(environment: &Environment, script: &str, args: &[&str]) -> Self {
        // The library logs tracebacks of failures that are wanted here, so they are shown only when something else fails.
        let mut log = tempfile::tempfile().expect("a file can be made");
        let mut child = command(environment, script, args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.try_clone().expect("a file can be shared"))
            .spawn()
            .expect("Python can be started");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        stdout.read_line(&mut line).expect("the script can be read");
        let lifeline = child.stdin.take();
        let Ok(made) = serde_json::from_str(&line) else {
            drop(lifeline);
            let _ = child.wait();
            let mut errors = String::new();
            let _ = log.rewind().and_then(|()| log.read_to_string(&mut errors));
            panic!("{script} {args:?} did not say what it made: {line:?}\n{errors}");
        };
        Self { made, child, lifeline, stdout }
    }

    /// Gives the script the line it waits for and returns the JSON it answers with.
    #[track_caller]
    pub fn tell(&mut self) -> Value {
        let lifeline = self.lifeline.as_mut().expect("the script listens");
        lifeline.write_all(b"\n").and_then(|()| lifeline.flush()).expect("the script takes a line");
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("the script can be read");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("the script answered no JSON: {error}: {line:?}"))
    }

    /// Gives the script one line of JSON and returns the JSON it answers with.
    #[track_caller]
    pub fn send(&mut self, command: &Value) -> Value {
        let lifeline = self.lifeline.as_mut().expect("the script listens");
        let line = format!("{command}\n");
        lifeline.write_all(line.as_bytes()).and_then(|()| lifeline.flush()).expect("the script takes a line");
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("the script can be read");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{command}: answered no JSON: {error}: {line:?}"))
    }

    /// Ends it in the middle of what it does.
    pub fn kill(mut self) {
        self.child.kill().expect("a child can be killed");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.lifeline.take();
        let _ = self.child.wait();
    }
}
