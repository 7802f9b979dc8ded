//! The streams: the only file besides `progress.rs` that writes to stdout or stderr. Writes views, notes, warnings and errors;
//! their form is decided in `output/` and `fault.rs`.
//!
//! A closed pipe ends the output and is no error, as in `sen list | head`. Rust starts programs
//! with SIGPIPE ignored, so it arrives here as `BrokenPipe`. Any other failure to write (a full disk) is an error.

pub mod frame;
pub mod full;
pub mod sink;
pub mod terminal;

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::time::Duration;

use futures_util::{StreamExt as _, future::poll_immediate};
use sen_core::error::{Error, ErrorKind, Result};

use crate::clean::clean;
use crate::exit::Exit;
use crate::fault;
use crate::mask::{self, message};
use crate::output::row::{Look, RowWriter};
use crate::output::text::wrap;
use crate::output::{self, Format, Options};
use crate::screen::frame::Frame;
use crate::screen::full::Full;
use crate::screen::sink::Sink;
use crate::screen::terminal::{ColorChoice, Env, Stream, pager};
use crate::times::Times;
use crate::views::{Batch, Batches, ListView, View};

/// Bytes gathered before they are written.
const CHUNK: usize = 1 << 16;
/// A producer that is silent for so long has paused: what there is gets shown (`--follow`, `watch`, a slow query).
const PAUSE: Duration = Duration::from_millis(100);
/// The same while output is held back for a pager: showing it now means doing without one, and a slow database is not
/// a reason for that.
const PATIENCE: Duration = Duration::from_secs(1);

/// Both output streams.
pub struct Screen {
    out: Stream,
    err: Stream,
    quiet: bool,
    pager: Option<String>,
    /// What gathers everything, where a picture takes the place of the one before.
    frame: Option<Frame>,
}

/// Why output ended early.
enum Stop {
    /// The reader has closed the pipe.
    Closed,
    Failed(Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Failed(Error::new(ErrorKind::Io, "cannot write to standard output").with_source(error)),
        }
    }
}

impl Screen {
    /// Examines both streams and the environment (through `env`). `quiet` silences notes, not warnings or errors.
    pub fn new(color: ColorChoice, quiet: bool, env: Env<'_>) -> Self {
        let size = |size: Option<(terminal_size::Width, terminal_size::Height)>| {
            size.map(|(width, height)| (usize::from(width.0), usize::from(height.0)))
        };
        let out =
            Stream::decide(color, env, io::stdout().is_terminal(), size(terminal_size::terminal_size_of(io::stdout())));
        let err =
            Stream::decide(color, env, io::stderr().is_terminal(), size(terminal_size::terminal_size_of(io::stderr())));
        // Without a pager the output is printed.
        let pager = pager(env).filter(|_| out.terminal && !out.dumb && io::stdin().is_terminal());
        Self { out, err, quiet, pager, frame: None }
    }

    /// From now on gathers what is shown, to be put in the place of what is on the terminal; `None` where there is none.
    pub fn frame(&mut self) -> Option<Frame> {
        if !self.out.terminal || self.out.dumb {
            return None;
        }
        self.pager = None;
        let (lines, columns) = (self.out.height.unwrap_or(24), self.out.width.unwrap_or(80));
        self.frame = Some(Frame::new(Box::new(io::stdout()), lines, columns));
        self.frame.clone()
    }

    /// Writes a line to stdout; false when the pipe is closed.
    pub fn line(&self, text: &str) -> bool {
        let mut out = io::stdout();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
    }

    /// Where the bytes of stdout go.
    fn paper(&self) -> Box<dyn io::Write> {
        match &self.frame {
            Some(frame) => Box::new(frame.clone()),
            None => Box::new(io::stdout()),
        }
    }

    /// Shows `view` on stdout and its notes on stderr, and says how many things or rows there were. Needs a tokio
    /// runtime with its timer on for lists.
    ///
    /// # Errors
    /// `Usage` for unknown `--fields`, before anything is written; `Io` when stdout fails; what a list's producer
    /// reports, after the rows before it are out.
    pub async fn show(&self, view: View, options: &Options) -> Result<u64> {
        let paged = options.pager
            && options.format == Format::Table
            && !matches!(view, View::Text(_) | View::Replay { .. } | View::Nothing);
        let pager = self
            .pager
            .clone()
            .filter(|_| paged)
            .map(|command| (command, self.out.height.unwrap_or(24).saturating_sub(1)));
        let mut sink = Sink::new(self.paper(), pager);
        let mut count = 1;
        let shown = match view {
            View::Text(text) => whole(text.into_bytes(), &mut sink),
            View::Replay { stdout, stderr } => {
                self.complain(&harmless(stderr, self.err.terminal, options.reveal));
                whole(harmless(stdout, self.out.terminal, options.reveal), &mut sink)
            }
            View::Nothing => Ok(()),
            View::Details(view) => {
                let mut bytes = Vec::new();
                output::details(&view, self.look(view.now), options, &mut bytes)?;
                whole(bytes, &mut sink)
            }
            View::List(view) => {
                let look = self.look(view.now);
                let ListView { columns, batches, tone, empty, .. } = view;
                let mut writer = output::rows(columns, tone, look, options)?;
                let mut poured = Poured::default();
                let shown = pour(batches, &mut *writer, &mut sink, &mut poured).await;
                drop(sink);
                if shown.is_ok() && poured.rows == 0 && options.format == Format::Table {
                    self.note(&empty);
                }
                poured.notes.iter().for_each(|note| self.note(note));
                count = poured.rows;
                shown
            }
        };
        match shown {
            Ok(()) => Ok(count),
            // The reader has closed the pipe.
            Err(Stop::Closed) => Ok(count.max(1)),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    /// Prints ready text (help, the version) on stdout.
    ///
    /// # Errors
    /// `Io` when stdout fails.
    pub fn print(&self, text: String) -> Result<()> {
        match whole(text.into_bytes(), &mut Sink::new(Box::new(io::stdout()), None)) {
            Ok(()) | Err(Stop::Closed) => Ok(()),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    /// Prints help on stderr, which contains no user input.
    pub fn advise(&self, text: &str) {
        text.lines().for_each(|line| self.complain(&fault::clean_line("", line, None, None)));
    }

    /// Prints what the argument parser has to say, in its own form; what the operator typed is in it and is filtered.
    pub fn usage(&self, text: &str) {
        text.lines().for_each(|line| self.complain(&fault::line("", line, None, None)));
    }

    /// The whole terminal, and whether it has colour; `None` where stdout is none or cannot move its cursor.
    ///
    /// # Errors
    /// `Io`.
    pub fn full(&self) -> Result<Option<(Full, bool)>> {
        if !self.out.terminal || self.out.dumb {
            return Ok(None);
        }
        let failed = |error| Error::new(ErrorKind::Io, "standard output is closed").with_source(error);
        let paper = io::stdout().as_fd().try_clone_to_owned().map_err(failed)?;
        Ok(Some((Full::enter(paper.into())?, self.out.color)))
    }

    fn look(&self, now: sen_core::time::Timestamp) -> Look {
        let times = if self.out.terminal { Times::Short } else { Times::Rfc3339 };
        Look { color: self.out.color, terminal: self.out.terminal, times, width: self.out.width, now }
    }

    /// Whether stderr is a terminal.
    pub fn has_terminal(&self) -> bool {
        self.err.terminal
    }

    /// Whether standard output is a terminal.
    pub fn prints_to_terminal(&self) -> bool {
        self.out.terminal
    }

    /// Whether a question would reach a person and the answer come back.
    pub fn can_ask(&self) -> bool {
        self.err.terminal && io::stdin().is_terminal()
    }

    /// How many columns a line of prose may take on stderr.
    fn room(&self) -> Option<usize> {
        self.err.width.filter(|_| self.err.terminal)
    }

    /// How many columns an entry of a question may take: a longer one could not be drawn again.
    pub fn columns_of_an_entry(&self) -> usize {
        self.room().unwrap_or(80).saturating_sub(3)
    }

    /// Writes a message to stderr that must be seen, as before a question.
    pub fn say(&self, text: &str) {
        let room = self.room().unwrap_or(usize::MAX);
        let hang = text.len() - text.trim_start_matches([' ', '-']).len();
        let text = message(text);
        let text = clean(&text);
        // The following lines are indented to the text of the first one.
        for (at, line) in wrap(text.trim_start(), room.saturating_sub(hang).max(20)).iter().enumerate() {
            let indent = if at == 0 { text.len() - text.trim_start().len() } else { hang };
            self.complain(&fault::clean_line("", &format!("{:indent$}{line}", ""), None, None));
        }
    }

    /// Writes a message to stderr unless `--quiet` is given.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            for part in text.split('\n') {
                let room = self.room().filter(|_| !part.starts_with("next: "));
                self.complain(&fault::line("", part, None, room));
            }
        }
    }

    /// Warns on stderr, also with `--quiet`.
    pub fn warn(&self, text: &str) {
        let style = self.err.color.then(|| crate::output::text::tint(sen_core::model::verdict::Severity::Warning));
        self.complain(&fault::line("warning:", text, style, self.room()));
    }

    /// Reports an error on stderr in the form that fits `format`, and says how the program ends with it.
    pub fn fault(&self, error: &Error, format: Format) -> Exit {
        self.complain(&fault::render(error, format, self.err.color, self.room()));
        fault::exit(error.kind())
    }

    /// An error of stderr itself is ignored: it cannot be reported.
    fn complain(&self, bytes: &[u8]) {
        match &self.frame {
            Some(frame) if self.err.terminal => drop(frame.clone().write_all(bytes)),
            _ => drop(io::stderr().lock().write_all(bytes)),
        }
    }
}

/// Both streams for what a command of the operator's own writes while it runs: unbuffered, unfiltered, to be written by
/// threads that may block.
///
/// # Errors
/// `Io` when a stream is closed.
pub fn relay() -> Result<(File, File)> {
    let failed = |error| Error::new(ErrorKind::Io, "standard output or error is closed").with_source(error);
    let out = io::stdout().as_fd().try_clone_to_owned().map_err(failed)?;
    let err = io::stderr().as_fd().try_clone_to_owned().map_err(failed)?;
    Ok((out.into(), err.into()))
}

/// Lines that came from a database, for a terminal.
fn harmless(bytes: Vec<u8>, terminal: bool, reveal: bool) -> Vec<u8> {
    if !terminal {
        return bytes;
    }
    let text = String::from_utf8_lossy(&bytes);
    let text = if reveal { text } else { mask::text(&text).into_owned().into() };
    let lines = text.split_inclusive('\n').map(|line| match line.strip_suffix('\n') {
        Some(line) => clean(line).into_owned() + "\n",
        None => clean(line).into_owned(),
    });
    lines.collect::<String>().into_bytes()
}

fn whole(mut bytes: Vec<u8>, sink: &mut Sink) -> Result<(), Stop> {
    sink.take(&mut bytes)?;
    Ok(sink.flush()?)
}

/// What came out of a list besides its rows.
#[derive(Default)]
struct Poured {
    rows: u64,
    notes: Vec<String>,
}

/// Streams a list through its writer. Batches that are ready are written in large pieces; when the producer pauses,
/// everything so far is made visible.
async fn pour(
    mut batches: Batches,
    writer: &mut dyn RowWriter,
    sink: &mut Sink,
    poured: &mut Poured,
) -> Result<(), Stop> {
    let mut bytes = Vec::with_capacity(2 * CHUNK);
    loop {
        let batch = match next(&mut batches, if sink.holds() { PATIENCE } else { PAUSE }).await {
            Some(batch) => batch,
            None => {
                writer.settle(&mut bytes);
                sink.take(&mut bytes)?;
                sink.flush()?;
                batches.next().await
            }
        };
        match batch {
            Some(Ok(Batch { rows, note })) => {
                poured.notes.extend(note);
                for row in rows {
                    poured.rows += 1;
                    writer.row(&row, &mut bytes);
                    if bytes.len() >= CHUNK {
                        sink.take(&mut bytes)?;
                        // A producer that is always ready must not block the handling of Ctrl-C.
                        tokio::task::yield_now().await;
                    }
                }
            }
            Some(Err(error)) => {
                writer.settle(&mut bytes);
                if !bytes.is_empty() && bytes.last() != Some(&b'\n') {
                    bytes.push(b'\n');
                }
                sink.take(&mut bytes)?;
                sink.flush()?;
                return Err(Stop::Failed(error));
            }
            None => {
                writer.finish(&mut bytes);
                sink.take(&mut bytes)?;
                return Ok(sink.flush()?);
            }
        }
    }
}

/// The next batch (or the end: `Some(None)`), or `None` when the producer has paused.
async fn next(batches: &mut Batches, pause: Duration) -> Option<Option<Result<Batch>>> {
    if let Some(batch) = poll_immediate(batches.next()).await {
        return Some(batch);
    }
    tokio::time::timeout(pause, batches.next()).await.ok()
}

#[cfg(test)]
mod tests;
