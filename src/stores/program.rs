//! A program of the operator's (one that prints a password, one that is told a report): run without a shell, with a time
//! limit and bounded output. What it is for is its caller's business.

use std::io;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use sen_model::error::{Error, ErrorKind, Result};

/// So much of what it prints is kept, and one byte more, so that too much is seen to be too much.
pub const LONGEST_OUTPUT: usize = 64 << 10;
/// So much of its complaints is repeated: their end, where the reason mostly stands.
const LONGEST_COMPLAINT: usize = 2 << 10;
/// How long its output is read on when it has ended: a process it left behind may hold it open for ever.
const GRACE: Duration = Duration::from_millis(250);

/// A program with its arguments. `Debug` shows the program alone: an argument may be a secret.
#[derive(Clone)]
pub struct Program {
    words: Vec<String>,
    limit: Duration,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Program").field(&self.name()).finish()
    }
}

impl Program {
    /// Splits a command line as a shell does: at blanks, with quotes and backslashes. No shell sees it: `$NAME`, `|` and `~`
    /// mean nothing in it.
    ///
    /// # Errors
    /// `Usage` for a quote that is not closed, and where there is nothing.
    pub fn parse(text: &str, limit: Duration) -> Result<Self> {
        let words = shell_words::split(text)
            .map_err(|_| Error::usage("a quotation mark in the command is not closed").with_hint(NO_SHELL))?;
        if words.first().is_none_or(String::is_empty) {
            return Err(Error::usage("the command is empty"));
        }
        Ok(Self { words, limit })
    }

    /// What is started, without its arguments.
    pub fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The same with at most `limit` to run.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = self.limit.min(limit);
        self
    }

    /// Runs it with `input` (nothing, where there is none) and `environment` beside this process's own, and returns what it
    /// printed once it has ended well.
    ///
    /// # Errors
    /// `Usage` where it cannot be started; `Timeout`; `Io` where it ended otherwise, with the end of what it complained of as the cause.
    pub async fn run(&self, input: &[u8], environment: &[(&str, String)]) -> Result<Vec<u8>> {
        let mut command = Command::new(self.name());
        command.args(&self.words[1..]).envs(environment.iter().map(|(name, value)| (name, value)));
        command.stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // What it starts in turn is ended with it.
        #[cfg(unix)]
        command.process_group(0);
        let child = command.spawn().map_err(|error| self.not_started(&error))?;
        let (mut printed, mut complained) = (Vec::new(), Vec::new());
        let ended = tokio::time::timeout(self.limit, to_the_end(child, input, &mut printed, &mut complained)).await;
        let why = match ended {
            Ok(Ok(status)) if status.success() => return Ok(printed),
            Ok(Ok(status)) => Error::new(ErrorKind::Io, format!("{} {}", self.name(), how(status))),
            Ok(Err(error)) => {
                Error::new(ErrorKind::Io, format!("{} could not be waited for", self.name())).with_source(error)
            }
            Err(_) => {
                let limit = sen_model::time::humane(i64::try_from(self.limit.as_micros()).unwrap_or(i64::MAX));
                Error::new(ErrorKind::Timeout, format!("{} did not end within {limit} and was killed", self.name()))
            }
        };
        // What it printed before it failed may be the secret itself, and its complaint may repeat it.
        String::from_utf8_lossy(&printed).lines().for_each(|line| sen_model::secret::remember(line.trim()));
        match complaint(&complained) {
            Some(text) => Err(why.with_source(Error::new(ErrorKind::Io, text))),
            None => Err(why),
        }
    }

    fn not_started(&self, error: &io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::NotFound => Error::usage(format!("{} was not found", self.name()))
                .with_hint("is it installed, and in the PATH that this process has? cron's is short"),
            _ => Error::usage(format!("{} cannot be started: {error}", self.name())).with_hint(NO_SHELL),
        }
    }
}

const NO_SHELL: &str = "no shell sees it: for pipes and variables write sh -c '…'";

/// Ends the processes that were started, unless they ended by themselves: also when nobody waits for them any more.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(group) = self.0.and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?)) {
            // Gone already is as good.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

async fn to_the_end(
    mut child: Child,
    input: &[u8],
    printed: &mut Vec<u8>,
    complained: &mut Vec<u8>,
) -> io::Result<ExitStatus> {
    let mut group = Group(child.id());
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // One that does not care for its input need not read it.
            let _ = stdin.write_all(input).await;
        }
    };
    let mut streams = pin!(async {
        tokio::join!(feed, keep_beginning(stdout, printed), keep_end(stderr, complained));
    });
    let status = tokio::select! {
        status = child.wait() => {
            group.0 = None;
            let _ = tokio::time::timeout(GRACE, streams).await;
            status
        }
        () = streams.as_mut() => {
            let status = child.wait().await;
            group.0 = None;
            status
        }
    };
    status
}

/// Reads to the end and keeps what there is at first.
async fn keep_beginning(stream: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    each_chunk(stream, |chunk| {
        let room = (LONGEST_OUTPUT + 1).saturating_sub(kept.len());
        kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
    })
    .await;
}

/// Reads to the end and keeps what there is at last.
async fn keep_end(stream: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    each_chunk(stream, |chunk| {
        kept.extend_from_slice(chunk);
        let surplus = kept.len().saturating_sub(LONGEST_COMPLAINT);
        kept.drain(..surplus);
    })
    .await;
}

async fn each_chunk(stream: Option<impl AsyncRead + Unpin>, mut take: impl FnMut(&[u8])) {
    let Some(mut stream) = stream else { return };
    let mut chunk = [0; 4096];
    while let Ok(size @ 1..) = stream.read(&mut chunk).await {
        take(&chunk[..size]);
    }
}

fn how(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("was ended by signal {signal}");
    }
    match status.code() {
        Some(code) => format!("ended with exit code {code}"),
        None => "did not end well".to_owned(),
    }
}

/// Its complaint in one line, if there is any.
fn complaint(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    (!lines.is_empty()).then(|| lines.join(" / "))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn run(text: &str, input: &[u8], limit: Duration) -> Result<Vec<u8>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let program = Program::parse(text, limit).unwrap();
        runtime.block_on(program.run(input, &[("SEN_TEST_ABOUT", "this".into())]))
    }

    const LONG: Duration = Duration::from_secs(120);

    #[test]
    fn words_are_a_shells_and_no_shell_sees_them() {
        assert_eq!(run("printf '%s|' 'a b' c\\ d \"e\" $HOME '|'", b"", LONG).unwrap(), b"a b|c d|e|$HOME|||");
        assert_eq!(run("sh -c 'printf %s \"$SEN_TEST_ABOUT\"'", b"", LONG).unwrap(), b"this");
        for bad in ["", "  ", "'open", "''"] {
            assert_eq!(Program::parse(bad, LONG).unwrap_err().kind(), ErrorKind::Usage, "{bad:?}");
        }
        let shown = format!("{:?}", Program::parse("tell --token=hunter2", LONG).unwrap());
        assert_eq!(shown, "Program(\"tell\")");
    }

    #[test]
    fn input_and_output_of_any_size_pass() {
        let large = vec![b'x'; 1 << 20];
        assert_eq!(run("wc -c", &large, LONG).unwrap().trim_ascii(), b"1048576");
        assert_eq!(run("cat", &large, LONG).unwrap().len(), LONGEST_OUTPUT + 1);
        assert_eq!(run("true", &large, LONG).unwrap(), b"");
        // Without input there is an end to read, not a terminal.
        assert_eq!(run("cat", b"", LONG).unwrap(), b"");
    }

    #[test]
    fn a_process_left_behind_that_holds_the_output_is_not_waited_for() {
        assert_eq!(run("sh -c 'sleep 600 & echo it'", b"", LONG).unwrap(), b"it\n");
    }

    #[test]
    fn ends_are_told() {
        let error = run("sen-no-such-program x", b"", LONG).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Usage, "sen-no-such-program was not found"));
        assert!(run("/", b"", LONG).unwrap_err().to_string().starts_with("/ cannot be started"));
        let error = run("sh -c 'echo first >&2; echo >&2; echo second >&2; exit 3'", b"", LONG).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Io, "sh ended with exit code 3"));
        assert_eq!(error.causes(), ["first / second"]);
        assert_eq!(run("sh -c 'kill -9 $$'", b"", LONG).unwrap_err().to_string(), "sh was ended by signal 9");
    }

    #[test]
    fn what_does_not_end_is_killed_with_what_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("pid");
        let text = format!("sh -c 'sleep 600 & echo $! > {}; echo waiting >&2; wait'", mark.display());
        let pid = loop {
            let error = run(&text, b"", Duration::from_millis(500)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
            assert!(error.to_string().starts_with("sh did not end within"), "{error}");
            // A slow machine may not have come so far.
            if let Ok(text) = std::fs::read_to_string(&mark)
                && let Ok(pid) = text.trim().parse::<i32>()
            {
                break rustix::process::Pid::from_raw(pid).unwrap();
            }
        };
        let gone = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z")
        };
        while !gone() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
