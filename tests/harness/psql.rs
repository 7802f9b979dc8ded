//! The real psql: one-off scripts, and sessions that stay open.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::postgres::psql;

fn command(url: &str) -> Command {
    let mut command = Command::new(psql());
    command
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-f", "-"])
        .env_clear()
        .env("PGCLIENTENCODING", "UTF8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs a script; its error text when it fails.
pub fn try_run(url: &str, sql: &str) -> Result<String, String> {
    let mut child = command(url).spawn().expect("psql can be started");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let script = sql.to_owned();
    // A thread of its own, because a long script and a long answer would wait for one another.
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(script.as_bytes());
    });
    let output = child.wait_with_output().expect("psql can be waited for");
    writer.join().expect("the writer does not panic");
    if output.status.success() {
        Ok(without_last_newline(String::from_utf8_lossy(&output.stdout).into_owned()))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn without_last_newline(mut rows: String) -> String {
    if rows.ends_with('\n') {
        rows.pop();
    }
    rows
}

/// Runs a script; panics when it fails.
pub fn run(url: &str, sql: &str) -> String {
    try_run(url, sql).unwrap_or_else(|error| panic!("psql: {error}\nscript: {sql}"))
}

/// A psql that stays connected; it ends with the test process, because its script does.
pub struct Session {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Session {
    /// Connects.
    pub fn open(url: &str) -> Self {
        let mut child = command(url).spawn().expect("psql can be started");
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Self { child, stdin, stdout }
    }

    /// Runs statements and returns their rows when all are done.
    pub fn run(&mut self, sql: &str) -> String {
        const DONE: &str = "-- done --";
        let stdin = self.stdin.as_mut().expect("the session is open");
        write!(stdin, "{sql}\n;\n\\echo '{DONE}'\n").and_then(|()| stdin.flush()).expect("psql takes a script");
        let mut rows = String::new();
        loop {
            let mut line = String::new();
            let read = self.stdout.read_line(&mut line).expect("psql can be read");
            if read == 0 {
                let mut error = String::new();
                let _ = self.child.stderr.take().expect("stderr is piped").read_to_string(&mut error);
                panic!("psql ended: {error}\nscript: {sql}");
            }
            if line.trim_end() == DONE {
                return without_last_newline(rows);
            }
            rows.push_str(&line);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stdin.take();
        // A session that waits for a lock would not notice the end of its script.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
