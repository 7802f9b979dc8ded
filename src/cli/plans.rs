//! Plans in files: written for review, read back unchanged or refused. A file is the lines of a saved plan and one more with
//! their checksum; whoever edits a plan makes another one.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Seek as _, Write};
use std::path::Path;

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::prepared::{Origin, PreparedAction, SavedPlan};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::files;

/// The line behind the targets.
#[derive(Serialize, Deserialize)]
struct Checksum {
    sha256: String,
}

/// What is needed of the first line to find the end of the plan.
#[derive(Deserialize)]
struct Extent {
    lines: u64,
}

/// Writes through to another and keeps the checksum of all of it.
pub struct Summed<W> {
    to: W,
    sum: Sha256,
}

impl<W: Write> Summed<W> {
    /// Through to this one.
    pub fn new(to: W) -> Self {
        Self { to, sum: Sha256::new() }
    }

    /// Writes the line behind the targets: a plan's end.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn close(&mut self) -> std::io::Result<()> {
        let sha256 = hex(std::mem::take(&mut self.sum));
        let line = serde_json::to_string(&Checksum { sha256 })?;
        writeln!(self.to, "{line}")
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}

fn hex(sum: Sha256) -> String {
    sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a plan to `file` with its checksum, and syncs it.
///
/// # Errors
/// `Io`.
pub fn write(action: &dyn PreparedAction, origin: &Origin, file: &File) -> Result<()> {
    let failed = |error| Error::new(ErrorKind::Io, "the plan cannot be written").with_source(error);
    let mut out = Summed::new(BufWriter::new(file));
    action.save(Some(origin), &mut out)?;
    out.close().and_then(|()| out.flush()).map_err(failed)?;
    drop(out);
    file.sync_all().map_err(failed)
}

/// A plan's file, found to be as it was written. Whatever stands behind the checksum is left unread.
pub struct PlanFile {
    reader: BufReader<File>,
    length: u64,
    /// Whether anything stands behind the checksum, as in a journal.
    more: bool,
}

/// No line of a plan is longer than this: a file that never ends must not fill the memory.
const LONGEST: u64 = 256 << 20;

impl PlanFile {
    /// Opens it and compares the checksum. Memory stays flat however many targets there are.
    ///
    /// # Errors
    /// `Usage` when it cannot be read or is no plan; `Refused` when it was edited or cut.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        let unreadable = |error| files::cannot("read", path)(error).with_kind(ErrorKind::Usage);
        let found = std::fs::metadata(path).map_err(unreadable)?;
        if !found.is_file() {
            return Err(Error::usage(format!("{shown} is not a file")));
        }
        let file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let mut reader = BufReader::new(file);
        let mut sum = Sha256::new();
        let mut line = Vec::new();
        let mut next = |line: &mut Vec<u8>| {
            line.clear();
            reader.by_ref().take(LONGEST).read_until(b'\n', line).map_err(unreadable)
        };
        next(&mut line)?;
        let no_plan = || Error::usage(format!("{shown} is not a plan that sen has written"));
        if !line.starts_with(b"{") {
            return Err(no_plan());
        }
        let Extent { lines } = serde_json::from_slice(&line).map_err(|error| no_plan().with_source(error))?;
        sum.update(&line);
        for _ in 0..lines {
            if next(&mut line)? == 0 {
                return Err(edited(path));
            }
            sum.update(&line);
        }
        next(&mut line)?;
        let Ok(Checksum { sha256 }) = serde_json::from_slice(&line) else { return Err(edited(path)) };
        if sha256 != hex(sum) {
            return Err(edited(path));
        }
        let more = !reader.fill_buf().map_err(unreadable)?.is_empty();
        reader.rewind().map_err(unreadable)?;
        Ok(Self { reader, length, more })
    }

    /// The same of a file that is a plan and nothing else.
    ///
    /// # Errors
    /// As [`Self::open`]; `Refused` where more stands in it, which nobody would apply: a target, or another plan.
    pub fn alone(path: &Path) -> Result<Self> {
        let file = Self::open(path)?;
        if file.more { Err(edited(path)) } else { Ok(file) }
    }

    /// The plan, its targets not read yet.
    ///
    /// # Errors
    /// `Usage` when this version of `sen` cannot read it.
    pub fn plan(&mut self) -> Result<SavedPlan<'_>> {
        SavedPlan::read(&mut self.reader)
    }

    /// How long the file was when it was opened.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// What stands behind the plan, line by line, of the first `length` bytes; call it when the plan was not read.
    pub fn rest(mut self, length: u64) -> impl Iterator<Item = String> {
        let mut first = String::new();
        let _ = self.reader.read_line(&mut first);
        let lines = serde_json::from_str::<Extent>(&first).map_or(0, |extent| extent.lines);
        let behind = usize::try_from(lines.saturating_add(1)).unwrap_or(usize::MAX);
        let left = length.saturating_sub(first.len() as u64);
        self.reader.take(left).split(b'\n').map_while(std::io::Result::ok).skip(behind).map(|line| {
            // A line that is no text is no line of ours, and no reason not to read the next.
            String::from_utf8(line).unwrap_or_default()
        })
    }
}

fn edited(path: &Path) -> Error {
    Error::new(ErrorKind::Refused, format!("{} was changed or cut after it was written", path.display()))
        .with_hint("make the plan again with --plan-out; a plan is reviewed and applied as it is")
}
