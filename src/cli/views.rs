//! The output of a command, for the output formats: data and its layout. Nothing here prints.

use std::pin::Pin;

use futures_util::Stream;
use sen_core::error::{Error, Result};
use sen_core::model::record::Age;
use sen_core::model::subject::Subject;
use sen_core::model::value::{Column, Row, Value};
use sen_core::model::verdict::{Severity, Verdict};
use sen_core::time::Timestamp;

use crate::exit::Exit;

/// What a command found, and the exit code that goes with it.
pub struct CommandOutput {
    /// What to show.
    pub view: View,
    /// How the process ends when showing it succeeds.
    pub exit: Exit,
    /// Further errors (one key of several is missing), reported after it.
    pub errors: Vec<Error>,
}

impl CommandOutput {
    /// Something to show, and all is well.
    pub fn new(view: View) -> Self {
        Self { view, exit: Exit::Done, errors: Vec::new() }
    }

    /// The same with another exit code.
    #[must_use]
    pub fn ending(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// The same with errors to report after it.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<Error>) -> Self {
        self.errors = errors;
        self
    }
}

/// Something to show.
pub enum View {
    /// Rows under columns, possibly very many.
    List(ListView),
    /// One or a few things in depth.
    Details(DetailsView),
    /// Ready text (a completion script, a man page, a list of exit codes): printed as it is in every format.
    Text(String),
    /// What a command wrote earlier, as it wrote it; made harmless where it meets a terminal.
    Replay {
        /// For stdout.
        stdout: Vec<u8>,
        /// For stderr.
        stderr: Vec<u8>,
    },
    /// Nothing at all.
    Nothing,
}

/// A part of a list.
#[derive(Default)]
pub struct Batch {
    /// Some rows.
    pub rows: Vec<Row>,
    /// A remark for stderr once the rows are out (`more rows match; …`). Not shown with `--quiet`.
    pub note: Option<String>,
}

/// The rows of a list, in batches, so that a million of them cost no memory.
pub type Batches = Pin<Box<dyn Stream<Item = Result<Batch>> + Send>>;

/// The column (by name) that holds the state a row is coloured by, and how severe each state is.
pub type Tone = Option<(&'static str, fn(&str) -> Severity)>;

/// Rows under columns.
pub struct ListView {
    /// Every column there is; `--fields` picks among them by name.
    pub columns: &'static [Column],
    /// The rows, streamed.
    pub batches: Batches,
    /// The database's clock, for relative times.
    pub now: Timestamp,
    /// How rows are coloured.
    pub tone: Tone,
    /// The message on stderr instead of an empty table: `no leases match`.
    pub empty: String,
    /// Whether an empty list ends with exit code 4.
    pub fail_if_empty: bool,
}

/// Things in depth.
pub struct DetailsView {
    /// One per thing.
    pub details: Vec<Detail>,
    /// Whether `-o json` prints one object (a single thing was asked for) or an array.
    pub single: bool,
    /// The database's clock, for relative times.
    pub now: Timestamp,
}

/// One thing in depth: the same facts once as data and once laid out for people.
pub struct Detail {
    /// The facts, a [`Value::Map`], for json, jsonl and `--fields`.
    pub value: Value,
    /// The layout for people.
    pub blocks: Vec<Block>,
}

/// The answer in one line: `UNCERTAIN, last change 18m ago — lease payments:order-7731`.
pub struct Headline {
    /// The state.
    pub state: &'static str,
    /// How much attention it needs.
    pub severity: Severity,
    /// How old it is.
    pub age: Age,
    /// The database's clock.
    pub now: Timestamp,
    /// Of what.
    pub subject: Subject,
}

/// A piece of a detail's layout for people.
pub enum Block {
    /// `label:   value` on one line.
    Field(&'static str, Value),
    /// The answer in one line: state, age, and of what.
    Headline(Headline),
    /// What a verdict rests on, and the commands to type next.
    Verdict(Verdict),
    /// A remark for people at a terminal.
    Hint(String),
    /// A heading with a blank line before it.
    Heading(String),
    /// A small table.
    Table(&'static [Column], Vec<Row>),
    /// Something that needs a person, with the command for it.
    Attention(sen_core::model::summary::Attention),
    /// Something that was examined, with what to type about it.
    Check(sen_core::model::diagnostics::Check),
    /// A cause.
    Cause(sen_core::model::cause::Cause),
    /// A line of prose.
    Note(String),
    /// Commands worth typing next, under the heading `next:`.
    Next(Vec<sen_core::model::verdict::NextCommand>),
}
