//! What is open over the panes: rows of a list, one record in depth, the acts that are offered for it. Each page is what a command
//! shows, so that nothing here differs from what that command prints. Pure.

use futures_util::StreamExt as _;
use sen_core::error::Result;
use sen_core::model::subject::{Kind, Subject};
use sen_core::model::value::{Column, Row, Value};
use sen_core::model::verdict::{NextCommand, Severity};
use sen_core::time::Timestamp;

use crate::output::row::Look;
use crate::output::{self, Options};
use crate::times::Times;
use crate::views::{Block, CommandOutput, DetailsView, ListView, Tone, View};

/// So many rows of a list are read; the command in the footer lists all.
const ROWS: usize = 500;

/// A page over the panes.
pub enum Page {
    /// The keys.
    Help {
        /// The first line shown.
        top: usize,
    },
    /// One record, or a chain of them.
    Sheet(Sheet),
    /// Rows to choose from.
    Rows(Rows),
    /// Acts to choose from.
    Acts(Acts),
}

/// Lines to read.
pub struct Sheet {
    /// What it is.
    pub title: String,
    /// The clean lines.
    pub lines: Vec<String>,
    /// The first one shown.
    pub top: usize,
    /// What `c` copies.
    pub command: String,
    /// The records it is about.
    pub subjects: Vec<Subject>,
    /// Whether it is a chain of causes already.
    pub is_chain: bool,
    /// The commands it names that change something.
    pub acts: Vec<NextCommand>,
    /// What it is laid out from, again for another width.
    view: Option<DetailsView>,
}

/// Rows of a list.
pub struct Rows {
    /// What they are.
    pub title: String,
    /// The headings, laid out.
    pub head: String,
    /// The rows, laid out.
    pub lines: Vec<String>,
    /// The state of each, as it stands in its line, and how much attention it needs.
    pub states: Vec<Option<(String, Severity)>>,
    /// The selected one.
    pub selected: usize,
    /// What `c` copies.
    pub command: String,
    /// The command that lists them, where one does.
    pub source: Option<NextCommand>,
    /// What its command says below the rows.
    pub notes: Vec<String>,
    /// The id of each, and what shows it in depth.
    details: Vec<(String, NextCommand)>,
    columns: &'static [Column],
    rows: Vec<Row>,
    tone: Tone,
    now: Timestamp,
}

/// Acts on a record.
pub struct Acts {
    /// On what.
    pub title: String,
    /// The commands, those that its verdict suggests first.
    pub acts: Vec<NextCommand>,
    /// The selected one.
    pub selected: usize,
}

/// Commands that change something, by their words. What is not named here is never offered as an act.
const ACTS: &[&[&str]] = &[
    &["reconcile"],
    &["release"],
    &["forget"],
    &["dlq", "replay"],
    &["dlq", "discard"],
    &["exec", "complete"],
    &["exec", "cancel"],
    &["saga", "unstick"],
    &["saga", "retry"],
    &["saga", "compensate"],
    &["saga", "abort"],
    &["saga", "outbox", "requeue"],
    &["saga", "inbox", "requeue"],
    &["agent", "requeue"],
    &["agent", "cancel"],
];

fn begins(words: &[String], with: &[&str]) -> bool {
    words
        .get(1..)
        .is_some_and(|words| words.len() >= with.len() && words.iter().zip(with).all(|(word, with)| word == with))
}

fn is_act(next: &NextCommand) -> bool {
    let words = next.words();
    // What only the operator knows cannot be put in here.
    let marked = words.iter().any(|word| sen_core::text::is_mark(word));
    !marked && ACTS.iter().any(|act| begins(&words, act))
}

/// What may be tried on a record of this kind in this stored state; each command judges for itself and says why not.
fn acts_on(subject: &Subject, state: &str) -> Vec<NextCommand> {
    type Offers = &'static [(&'static [&'static str], &'static str)];
    let all: Offers = match (subject.kind, state) {
        (Kind::Lease, "executing" | "reconciling") => &[(&["sen", "reconcile"], "say what the work came to")],
        (Kind::Lease, "claimed") => &[(&["sen", "release"], "remove a claim that has expired and was never begun")],
        (Kind::Lease, "completed") => {
            &[(&["sen", "forget"], "remove the stored result, so that the key can run again")]
        }
        (Kind::Execution, "pending" | "running" | "cancelling") => {
            &[(&["sen", "exec", "cancel"], "end it and its open tasks")]
        }
        (Kind::DeadLetter, _) => &[
            (&["sen", "dlq", "replay"], "let it run again"),
            (&["sen", "dlq", "discard"], "remove it without running it"),
        ],
        (Kind::Saga, "completed" | "compensated") => &[],
        (Kind::Saga, "failed" | "timeout") => &[
            (&["sen", "saga", "retry"], "try its step again"),
            (&["sen", "saga", "compensate"], "roll its steps back"),
        ],
        (Kind::Saga, _) => &[
            (&["sen", "saga", "retry"], "try its step again"),
            (&["sen", "saga", "compensate"], "roll its steps back"),
            (&["sen", "saga", "abort"], "give it up without a roll-back"),
        ],
        (Kind::Outbox | Kind::Inbox, "sent" | "applied") => &[],
        (Kind::Outbox, _) => &[(&["sen", "saga", "outbox", "requeue"], "make it due again")],
        (Kind::Inbox, _) => &[(&["sen", "saga", "inbox", "requeue"], "make it due again")],
        (Kind::AgentTask, "leased" | "in_progress") => &[
            (&["sen", "agent", "requeue"], "give it back to the queue"),
            (&["sen", "agent", "cancel"], "fail it as cancelled"),
        ],
        (Kind::AgentTask, "queued") => &[(&["sen", "agent", "cancel"], "fail it as cancelled")],
        _ => &[],
    };
    all.iter().map(|(words, why)| NextCommand::new(words, *why).id(&subject.id)).collect()
}

/// What may be tried on a group of dead letters.
pub fn acts_on_group(id: &str) -> Vec<NextCommand> {
    let on = |words: &[&str], why: &str| NextCommand::new(words, why).option("--group", id);
    vec![
        on(&["sen", "dlq", "replay"], "let all of the group run again"),
        on(&["sen", "dlq", "discard"], "remove all of the group without running them"),
    ]
}

/// The command that shows a row of a list in depth, and the column that names it.
fn detail_of(words: &[String]) -> (&'static [&'static str], &'static [&'static str]) {
    const OF: &[(&[&str], &[&str])] = &[
        (&["exec"], &["sen", "exec", "show"]),
        (&["task"], &["sen", "task", "show"]),
        (&["dlq", "groups"], &["sen", "dlq", "list", "--group"]),
        (&["dlq"], &["sen", "dlq", "show"]),
        (&["saga", "outbox"], &["sen", "saga", "outbox", "show"]),
        (&["saga", "inbox"], &["sen", "saga", "inbox", "show"]),
        (&["saga"], &["sen", "saga", "show"]),
        (&["agent"], &["sen", "agent", "show"]),
    ];
    let known = OF.iter().find(|(list, _)| begins(words, list)).map(|(_, detail)| *detail);
    (known.unwrap_or(&["sen", "inspect"]), &["id", "key", "group"])
}

impl Page {
    /// What a command shows, as a page; `None` where it shows neither rows nor records.
    ///
    /// # Errors
    /// What reading the rows reports.
    pub async fn of(command: &NextCommand, output: CommandOutput) -> Result<Option<Self>> {
        if let Some(error) = output.errors.into_iter().next() {
            return Err(error);
        }
        Ok(match output.view {
            View::List(list) => Some(Self::Rows(Rows::read(command, list).await?)),
            View::Details(details) => Some(Self::Sheet(Sheet::of(command, details))),
            View::Text(_) | View::Replay { .. } | View::Nothing => None,
        })
    }

    /// Lays it out for this many columns.
    ///
    /// # Errors
    /// None in practice: all columns are known.
    pub fn lay(&mut self, columns: usize) -> Result<()> {
        match self {
            Self::Sheet(sheet) => sheet.lay(columns),
            Self::Rows(rows) => rows.lay(columns),
            Self::Help { .. } | Self::Acts(_) => Ok(()),
        }
    }

    /// The id of the record it is about, or of its selected row.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Sheet(sheet) => sheet.subjects.first().map(|subject| subject.id.as_str()),
            Self::Rows(rows) => rows.detail().map(|(id, _)| id.as_str()).filter(|id| !id.is_empty()),
            Self::Help { .. } | Self::Acts(_) => None,
        }
    }

    /// Moves in it.
    pub fn step(&mut self, by: isize) {
        let moved = |at: usize, length: usize| at.saturating_add_signed(by).min(length.saturating_sub(1));
        match self {
            Self::Help { top } => *top = moved(*top, 100),
            Self::Sheet(sheet) => sheet.top = moved(sheet.top, sheet.lines.len()),
            Self::Rows(rows) => rows.selected = moved(rows.selected, rows.lines.len()),
            Self::Acts(acts) => acts.selected = moved(acts.selected, acts.acts.len()),
        }
    }

    /// The command that belongs to it, or to its selected row.
    pub fn command(&self) -> Option<String> {
        match self {
            Self::Help { .. } => None,
            Self::Sheet(sheet) => Some(sheet.command.clone()),
            Self::Rows(rows) => Some(rows.command.clone()),
            Self::Acts(acts) => acts.acts.get(acts.selected).map(|act| act.command.clone()),
        }
    }
}

fn look(columns: usize, now: Timestamp) -> Look {
    Look { color: false, terminal: true, times: Times::Short, width: Some(columns.saturating_sub(6).max(20)), now }
}

impl Sheet {
    /// Lines that no command prints.
    pub fn words(title: String, lines: Vec<String>, command: String) -> Self {
        Self { title, lines, top: 0, command, subjects: Vec::new(), is_chain: false, acts: Vec::new(), view: None }
    }

    fn of(command: &NextCommand, view: DetailsView) -> Self {
        let mut subjects = Vec::new();
        let mut acts: Vec<NextCommand> = Vec::new();
        let mut own = Vec::new();
        for detail in &view.details {
            if let Some(subject) = subject_of(&detail.value) {
                own.extend(acts_on(&subject, state_of(&detail.value)));
                subjects.push(subject);
            }
            let named = detail.blocks.iter().flat_map(|block| match block {
                Block::Verdict(verdict) => verdict.next.clone(),
                Block::Cause(cause) => cause.next.clone(),
                Block::Next(next) => next.clone(),
                Block::Attention(item) => vec![item.next.clone()],
                _ => Vec::new(),
            });
            acts.extend(named.filter(is_act));
        }
        let mut offered: Vec<NextCommand> = Vec::new();
        for act in acts.into_iter().chain(own) {
            // What a verdict suggests comes with options of its own; the bare command is the same act.
            let known = |other: &NextCommand| other.command.starts_with(&act.command) || act.command == other.command;
            if !offered.iter().any(known) {
                offered.push(act);
            }
        }
        let title = crate::clean::clean(command.words().get(1..).unwrap_or_default().join(" ").as_str()).into_owned();
        Self {
            title,
            lines: Vec::new(),
            top: 0,
            command: command.command.clone(),
            subjects,
            is_chain: begins(&command.words(), &["why"]),
            acts: offered,
            view: Some(view),
        }
    }

    fn lay(&mut self, columns: usize) -> Result<()> {
        let Some(view) = &self.view else { return Ok(()) };
        let mut bytes = Vec::new();
        output::details(view, look(columns, view.now), &Options::default(), &mut bytes)?;
        self.lines = String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect();
        Ok(())
    }
}

/// The record that a detail is of.
fn subject_of(value: &Value) -> Option<Subject> {
    let Value::Map(fields) = value else { return None };
    let field = |wanted: &str| fields.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value);
    // A chain of causes begins with the record that was asked for.
    if let Some(Value::List(chain)) = field("chain") {
        return subject_of(chain.first()?);
    }
    let Value::Text(name) = field("subject")? else { return None };
    serde_json::from_value(serde_json::Value::String(name.clone())).ok()
}

/// The stored state of the record that a detail is of.
fn state_of(value: &Value) -> &'static str {
    let Value::Map(fields) = value else { return "" };
    let field = |wanted: &str| fields.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value);
    // The state beside it is the judged one.
    if let Some(Value::Name(state)) = field("status").or_else(|| field("state")) { state } else { "" }
}

impl Rows {
    async fn read(command: &NextCommand, mut list: ListView) -> Result<Self> {
        let (mut rows, mut note) = (Vec::new(), None);
        while rows.len() < ROWS
            && let Some(batch) = list.batches.next().await
        {
            let batch = batch?;
            rows.extend(batch.rows);
            note = batch.note.or(note);
        }
        rows.truncate(ROWS);
        let words = command.words();
        let title = words.get(1..).unwrap_or_default().join(" ");
        let (show, names) = detail_of(&words);
        let position = names.iter().find_map(|name| list.columns.iter().position(|column| column.name == *name));
        let id = |row: &Row| match row.get(position.unwrap_or(0)) {
            Some(Value::Text(id)) => id.clone(),
            _ => String::new(),
        };
        let details = rows.iter().map(|row| (id(row), NextCommand::new(show, "").id(&id(row)))).collect();
        let mut read = Self::new(title, list.columns, rows, details, list.tone, list.now);
        read.command = command.command.clone();
        read.source = Some(command.clone());
        let note = if read.rows.is_empty() { Some(list.empty) } else { note };
        // What to type next is for a shell: here it is a key.
        let lines = note.iter().flat_map(|note| note.lines()).filter(|line| !line.starts_with("next: "));
        read.notes = lines.map(str::to_owned).collect();
        Ok(read)
    }

    /// Rows of which each is shown in depth by a command.
    pub fn new(
        title: String,
        columns: &'static [Column],
        rows: Vec<Row>,
        details: Vec<(String, NextCommand)>,
        tone: Tone,
        now: Timestamp,
    ) -> Self {
        Self {
            title: crate::clean::clean(&title).into_owned(),
            head: String::new(),
            lines: Vec::new(),
            states: Vec::new(),
            selected: 0,
            command: String::new(),
            source: None,
            notes: Vec::new(),
            details,
            columns,
            rows,
            tone,
            now,
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.rows.len()
    }

    /// The acts on all that the selected row stands for, and its name: of a group of dead letters.
    pub fn group(&self) -> Option<Acts> {
        let (id, list) = self.detail()?;
        let is_group = begins(&list.words(), &["dlq", "list", "--group"]);
        is_group.then(|| Acts { title: format!("group {id}"), acts: acts_on_group(id), selected: 0 })
    }

    /// The id of the selected row, and what shows it in depth.
    pub fn detail(&self) -> Option<&(String, NextCommand)> {
        self.details.get(self.selected)
    }

    fn lay(&mut self, columns: usize) -> Result<()> {
        let look = look(columns, self.now);
        let mut writer = output::rows(self.columns, None, look, &Options::default())?;
        let mut bytes = Vec::new();
        self.rows.iter().for_each(|row| writer.row(row, &mut bytes));
        writer.finish(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = text.lines().map(str::to_owned);
        self.head = lines.next().unwrap_or_default();
        self.lines = lines.take(self.rows.len()).collect();
        let toned = self
            .tone
            .and_then(|(name, severity)| Some((self.columns.iter().position(|column| column.name == name)?, severity)));
        let state = |row: &Row| {
            let (at, severity) = toned?;
            match row.get(at)? {
                Value::Name(name) => Some(((*name).to_owned(), severity(name))),
                _ => None,
            }
        };
        self.states = self.rows.iter().map(state).collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_commands_that_are_known_to_change_something_are_acts_and_marks_are_none() {
        let act = |words: &[&str]| is_act(&NextCommand::new(words, "").id("x"));
        assert!(act(&["sen", "dlq", "replay"]) && act(&["sen", "reconcile"]));
        for other in [&["sen", "dlq", "show"][..], &["sen", "dlq"], &["sen", "inspect"], &["sen"]] {
            assert!(!act(other), "{other:?}");
        }
        assert!(!is_act(&NextCommand::new(&["sen", "saga", "retry"], "").mark("id")));
        for kind in Kind::ALL {
            for state in ["executing", "claimed", "completed", "running", "failed", "queued", "leased", "suspended", ""]
            {
                let acts = acts_on(&Subject::new("stent", kind, "-x"), state);
                assert!(acts.iter().all(is_act), "{kind:?}");
            }
        }
    }

    #[test]
    fn a_group_of_dead_letters_has_acts_of_its_own_and_other_rows_have_none() {
        const COLUMNS: &[Column] =
            &[Column { name: "group", heading: "GROUP", show: sen_core::model::value::Show::Whole }];
        let list = |show: NextCommand| {
            let rows = vec![vec![Value::Text("3f2a91".into())]];
            Rows::new(String::new(), COLUMNS, rows, vec![("3f2a91".into(), show)], None, Timestamp::from_micros(0))
        };
        let group = list(NextCommand::new(&["sen", "dlq", "list", "--group"], "").id("3f2a91")).group().unwrap();
        let commands: Vec<&str> = group.acts.iter().map(|act| act.command.as_str()).collect();
        assert_eq!(commands, ["sen dlq replay --group 3f2a91", "sen dlq discard --group 3f2a91"]);
        assert!(list(NextCommand::new(&["sen", "dlq", "show"], "").id("3f2a91")).group().is_none());
    }

    #[test]
    fn every_list_leads_to_the_command_that_shows_its_rows() {
        let show = |words: &[&str]| detail_of(&NextCommand::new(words, "").words()).0.join(" ");
        assert_eq!(show(&["sen", "list", "--state", "uncertain"]), "sen inspect");
        assert_eq!(show(&["sen", "dlq", "groups"]), "sen dlq list --group");
        assert_eq!(show(&["sen", "saga", "outbox", "list"]), "sen saga outbox show");
        assert_eq!(show(&["sen", "saga", "list"]), "sen saga show");
    }
}
