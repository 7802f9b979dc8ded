//! Which tables belong together, by their columns: state, history, outbox, inbox, under any names. Pure.
//!
//! The library's models are mixins: a program names the tables and may have several of each. A history belongs to the
//! state table its foreign key points to. Messages carry the id of their saga but no foreign key, so which outbox serves
//! which sagas is concluded from schema and name where there are several, and reported as uncertain where those do not decide.

use super::message::Mailbox;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::ident::Ident;

/// A column as the catalogue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// The schema of its type; empty in a store that has none.
    pub type_schema: String,
    /// The name of its type, bare.
    pub type_name: String,
    /// The labels of its type when that is an enum.
    pub labels: Vec<String>,
}

/// A table as the catalogue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its number in the catalogue, unique in the database.
    pub number: i64,
    /// Its schema; `None` in a store that has none.
    pub schema: Option<String>,
    /// Its name.
    pub name: String,
    /// Its columns.
    pub fields: Vec<Field>,
    /// The number of the table that its `saga_id` references.
    pub references: Option<i64>,
    /// The server's estimate of its number of rows.
    pub rows: Option<i64>,
}

/// Columns that only a state table of this library has together.
const STATE: &[&str] = &[
    "id",
    "aggregation_id",
    "trace_id",
    "status",
    "current_step_index",
    "step_execution_token",
    "context",
    "deadline_at",
    "retry_counter",
    "last_error",
    "updated_at",
];
const HISTORY: &[&str] =
    &["id", "saga_id", "timestamp", "phase", "status", "step_id", "step_name", "attempt", "token", "input", "output"];
const OUTBOX: &[&str] = &[
    "id",
    "saga_id",
    "topic",
    "payload",
    "status",
    "attempts",
    "next_attempt_at",
    "sent_at",
    "last_error",
    "updated_at",
];
const INBOX: &[&str] = &[
    "id",
    "event_id",
    "saga_id",
    "payload",
    "status",
    "attempts",
    "next_attempt_at",
    "processed_at",
    "last_error",
    "updated_at",
];

/// Which versions the columns of a model fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Steps in the row itself.
    Row,
    /// Steps in a table of their own, without the time of a row's last change.
    Undated,
    /// Steps in a table of their own, with it.
    Dated,
    /// Steps in a table of their own, which one is not known.
    Separate,
    /// None known.
    Unknown,
}

impl Line {
    /// The versions for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Row => "0.1.0 to 0.2.3",
            Self::Undated => "0.2.4 to 0.4.x",
            Self::Dated => "0.5.0 to 0.7.3",
            Self::Separate => "0.2.4 to 0.7.3",
            Self::Unknown => "unknown",
        }
    }
}

/// Labels that an enum type lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// The type as SQL names it.
    pub kind: String,
    /// The labels.
    pub labels: Vec<&'static str>,
    /// Whether every version that fits the columns needs them; else only the newer ones.
    pub every: bool,
}

impl Lack {
    /// The SQL that adds them.
    pub fn statements(&self) -> String {
        let one = |label: &&str| format!("ALTER TYPE {} ADD VALUE IF NOT EXISTS '{label}';", self.kind);
        self.labels.iter().map(one).collect::<Vec<_>>().join(" ")
    }
}

impl Field {
    /// Its type as SQL names it.
    fn type_full(&self) -> String {
        let quoted = |name: &str| Ident::new(name).map(|name| name.quoted()).unwrap_or_default();
        format!("{}.{}", quoted(&self.type_schema), quoted(&self.type_name))
    }
}

impl Table {
    /// The column of this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Whether there is such a column.
    pub fn has(&self, name: &str) -> bool {
        self.field(name).is_some()
    }

    fn is(&self, columns: &[&str]) -> bool {
        columns.iter().all(|name| self.has(name))
    }

    /// Its name for people and for `--saga-table`: with the schema unless that is `public`.
    pub fn shown(&self) -> String {
        match self.schema.as_deref() {
            None | Some("public") => self.name.clone(),
            Some(schema) => format!("{schema}.{}", self.name),
        }
    }

    /// Whether a person means it by this name.
    pub fn named(&self, name: &str) -> bool {
        let full = self.schema.as_deref().map(|schema| format!("{schema}.{}", self.name));
        self.name == name || full.as_deref() == Some(name) || self.full() == name
    }

    /// Its name as SQL writes it, quoted and with its schema.
    pub fn full(&self) -> String {
        let quoted = |name: &str| Ident::new(name).map(|name| name.quoted()).unwrap_or_default();
        match &self.schema {
            Some(schema) => format!("{}.{}", quoted(schema), quoted(&self.name)),
            None => quoted(&self.name),
        }
    }
}

/// One state table with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// The sagas.
    pub state: Table,
    /// Their recorded steps; up to 0.2.3 these are in the state table itself.
    pub history: Option<Table>,
    /// Their outbox, as far as it can be found.
    pub outbox: Option<Table>,
    /// Their inbox, as far as it can be found.
    pub inbox: Option<Table>,
    /// What could not be decided.
    pub doubts: Vec<String>,
}

impl Model {
    /// The versions of the library that these columns fit. The labels of an enum do not count: models of several versions
    /// may share one type.
    pub fn line(&self) -> Line {
        let dated = self.history.as_ref().is_some_and(|history| history.has("updated_at"));
        match (self.keeps_history(), self.state.has("saga_name")) {
            (true, _) => Line::Row,
            (false, false) => Line::Unknown,
            (false, true) if self.history.is_none() => Line::Separate,
            (false, true) if dated => Line::Dated,
            (false, true) => Line::Undated,
        }
    }

    /// The same for people.
    pub fn version(&self) -> &'static str {
        self.line().name()
    }

    /// What its enum types lack for the library that these columns fit, as `(sometimes, labels)` of each type: whether only
    /// some of these versions need them.
    pub fn lacks(&self) -> Vec<Lack> {
        let lack = |table: &Table, needed: &[&'static str], every: bool| {
            let field = table.field("status").filter(|field| !field.labels.is_empty())?;
            let known = |label: &&&'static str| !field.labels.iter().any(|own| own == **label);
            let labels: Vec<&'static str> = needed.iter().filter(known).copied().collect();
            (!labels.is_empty()).then(|| Lack { kind: field.type_full(), labels, every })
        };
        let always = matches!(self.line(), Line::Undated | Line::Dated | Line::Separate);
        let timeout = self.line() == Line::Dated;
        let mut all = Vec::new();
        if always {
            all.extend(lack(&self.state, &["COMPENSATING_SUSPENDED", "COMPENSATED"], true));
            all.extend(lack(&self.state, &["TIMEOUT"], timeout));
            all.extend(self.history.as_ref().and_then(|history| lack(history, &["TIMEOUT"], timeout)));
        }
        all
    }

    /// Whether the steps are recorded in the row itself.
    pub fn keeps_history(&self) -> bool {
        self.state.has("step_history")
    }

    /// Whether acts can be recorded, and so may be done.
    pub fn writable(&self) -> bool {
        self.keeps_history() || self.history.is_some()
    }

    /// Whether a saga can have this status here.
    pub fn knows(&self, status: &str) -> bool {
        let field = self.state.field("status");
        field.is_some_and(|field| field.labels.is_empty() || field.labels.iter().any(|label| label == status))
    }
}

/// Everything of this library in a database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Models {
    /// The state tables, by name.
    pub models: Vec<Model>,
    /// All outboxes.
    pub outboxes: Vec<Table>,
    /// All inboxes.
    pub inboxes: Vec<Table>,
}

impl Models {
    /// Whether a table is one of this library's, by its columns.
    pub fn knows(table: &Table) -> bool {
        [STATE, HISTORY, OUTBOX, INBOX].iter().any(|columns| table.is(columns))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.models.is_empty() && self.outboxes.is_empty() && self.inboxes.is_empty()
    }

    /// Sorts tables by what they are. `from` is what the catalogue has of candidates.
    pub fn of(mut from: Vec<Table>) -> Self {
        from.sort_by(|left, right| (&left.schema, &left.name).cmp(&(&right.schema, &right.name)));
        let all = |columns: &[&str]| from.iter().filter(|table| table.is(columns)).cloned().collect::<Vec<_>>();
        let (states, histories) = (all(STATE), all(HISTORY));
        let (outboxes, inboxes) = (all(OUTBOX), all(INBOX));
        let mut models = Vec::new();
        for state in states {
            let mut doubts = Vec::new();
            let history = if state.has("step_history") { None } else { history(&state, &histories, &mut doubts) };
            let outbox = nearest(&state, &outboxes, "outbox", &mut doubts);
            let inbox = nearest(&state, &inboxes, "inbox", &mut doubts);
            models.push(Model { state, history, outbox, inbox, doubts });
        }
        Self { models, outboxes, inboxes }
    }

    /// The models meant: all, or the one of this name.
    ///
    /// # Errors
    /// `Usage` when there is no such table, or several of that name.
    pub fn picked(&self, table: Option<&str>) -> Result<Vec<&Model>> {
        let Some(name) = table else { return Ok(self.models.iter().collect()) };
        let found: Vec<&Model> = self.models.iter().filter(|model| model.state.named(name)).collect();
        let known = || self.models.iter().map(|model| model.state.shown()).collect::<Vec<_>>().join(", ");
        match found.len() {
            1 => Ok(found),
            0 => Err(Error::new(ErrorKind::Usage, format!("there is no saga table {name:?}"))
                .with_hint(format!("saga tables here: {}", known()))),
            _ => Err(Error::new(ErrorKind::Usage, format!("several saga tables are called {name:?}"))
                .with_hint(format!("name one with its schema: {}", known()))),
        }
    }

    /// All outboxes and then all inboxes.
    pub fn mailboxes(&self) -> impl Iterator<Item = (Mailbox, &Table)> {
        let of = |kind, tables| std::iter::repeat(kind).zip::<&[Table]>(tables);
        of(Mailbox::Out, &self.outboxes).chain(of(Mailbox::In, &self.inboxes))
    }

    /// The message tables of one kind: all, or those of the one saga table meant (or of that name themselves).
    ///
    /// # Errors
    /// As [`Self::picked`].
    pub fn boxes(&self, kind: Mailbox, table: Option<&str>) -> Result<Vec<&Table>> {
        let all = match kind {
            Mailbox::Out => &self.outboxes,
            Mailbox::In => &self.inboxes,
        };
        let Some(name) = table else { return Ok(all.iter().collect()) };
        let own: Vec<&Table> = all.iter().filter(|table| table.named(name)).collect();
        if !own.is_empty() {
            return Ok(own);
        }
        let models = self.picked(table)?;
        Ok(models
            .into_iter()
            .filter_map(|model| match kind {
                Mailbox::Out => model.outbox.as_ref(),
                Mailbox::In => model.inbox.as_ref(),
            })
            .collect())
    }

    /// The models whose sagas' messages a table may hold, the certain ones first.
    pub fn senders(&self, kind: Mailbox, table: &Table) -> Vec<&Model> {
        let own = |model: &&Model| match kind {
            Mailbox::Out => model.outbox.as_ref().is_none_or(|outbox| outbox.number == table.number),
            Mailbox::In => model.inbox.as_ref().is_none_or(|inbox| inbox.number == table.number),
        };
        self.models.iter().filter(own).collect()
    }
}

/// The history whose foreign key points to `state`; without any keys the one next to it by name.
fn history(state: &Table, histories: &[Table], doubts: &mut Vec<String>) -> Option<Table> {
    let own: Vec<&Table> = histories.iter().filter(|history| history.references == Some(state.number)).collect();
    match own.as_slice() {
        [history] => Some((*history).clone()),
        [] => {
            let free: Vec<Table> = histories.iter().filter(|history| history.references.is_none()).cloned().collect();
            nearest(state, &free, "history", doubts)
        }
        several => {
            let names: Vec<String> = several.iter().map(|table| table.shown()).collect();
            doubts.push(format!("several history tables reference {}: {}", state.shown(), names.join(", ")));
            None
        }
    }
}

/// The one table of `candidates` that stands next to `state`: by foreign key, the only one of its schema, or the one whose
/// name begins most like it.
fn nearest(state: &Table, candidates: &[Table], what: &str, doubts: &mut Vec<String>) -> Option<Table> {
    let pick = |some: Vec<&Table>| match some.as_slice() {
        [only] => Some((*only).clone()),
        _ => None,
    };
    if let Some(found) = pick(candidates.iter().filter(|table| table.references == Some(state.number)).collect()) {
        return Some(found);
    }
    let near: Vec<&Table> = candidates.iter().filter(|table| table.schema == state.schema).collect();
    let near = if near.is_empty() { candidates.iter().collect() } else { near };
    if near.len() <= 1 {
        return pick(near);
    }
    let likeness = |table: &Table| state.name.bytes().zip(table.name.bytes()).take_while(|(a, b)| a == b).count();
    let best = near.iter().map(|table| likeness(table)).max().unwrap_or(0);
    let closest: Vec<&Table> = near.iter().copied().filter(|table| likeness(table) == best).collect();
    if best > 0 && closest.len() == 1 {
        return pick(closest);
    }
    let names: Vec<String> = near.iter().map(|table| table.shown()).collect();
    doubts.push(format!("which {what} belongs to {} cannot be told: {}", state.shown(), names.join(", ")));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(number: i64, schema: &str, name: &str, columns: &[&str], references: Option<i64>) -> Table {
        let field = |name: &&str| Field {
            name: (*name).into(),
            type_schema: "pg_catalog".into(),
            type_name: "text".into(),
            labels: Vec::new(),
        };
        let fields = columns.iter().map(field).collect();
        Table { number, schema: Some(schema.into()), name: name.into(), fields, references, rows: None }
    }

    fn state(number: i64, schema: &str, name: &str) -> Table {
        let mut columns = STATE.to_vec();
        columns.push("saga_name");
        table(number, schema, name, &columns, None)
    }

    #[test]
    fn histories_follow_their_foreign_key_and_messages_their_name() {
        let models = Models::of(vec![
            state(1, "public", "order_saga"),
            state(2, "public", "refund_saga"),
            table(3, "public", "a_history", HISTORY, Some(2)),
            table(4, "public", "b_history", HISTORY, Some(1)),
            table(5, "public", "order_outbox", OUTBOX, None),
            table(6, "public", "refund_outbox", OUTBOX, None),
            table(7, "public", "events", INBOX, None),
            table(8, "public", "something", &["id", "status"], None),
        ]);
        let names = |model: &Model| {
            let name = |table: &Option<Table>| table.as_ref().map_or("-", |table| &table.name).to_owned();
            (name(&model.history), name(&model.outbox), name(&model.inbox))
        };
        assert_eq!(names(&models.models[0]), ("b_history".into(), "order_outbox".into(), "events".into()));
        assert_eq!(names(&models.models[1]), ("a_history".into(), "refund_outbox".into(), "events".into()));
        assert!(models.models.iter().all(|model| model.doubts.is_empty()));
        assert_eq!(models.picked(Some("public.refund_saga")).unwrap().len(), 1);
        assert!(models.picked(Some("nope")).unwrap_err().hint().unwrap().contains("order_saga"));
        assert_eq!(models.boxes(Mailbox::Out, Some("refund_saga")).unwrap()[0].name, "refund_outbox");
        assert_eq!(models.boxes(Mailbox::Out, None).unwrap().len(), 2);
    }

    #[test]
    fn what_cannot_be_told_is_said() {
        let models = Models::of(vec![
            state(1, "public", "sagas"),
            table(5, "public", "outbox_a", OUTBOX, None),
            table(6, "public", "outbox_b", OUTBOX, None),
        ]);
        assert!(models.models[0].outbox.is_none() && models.models[0].doubts[0].contains("outbox_a, outbox_b"));
        let schemas = Models::of(vec![
            state(1, "one", "sagas"),
            state(2, "two", "sagas"),
            table(5, "one", "outbox", OUTBOX, None),
            table(6, "two", "outbox", OUTBOX, None),
        ]);
        assert_eq!(schemas.models[1].outbox.as_ref().unwrap().number, 6);
        assert!(schemas.picked(Some("sagas")).is_err() && schemas.picked(Some("two.sagas")).is_ok());
    }

    #[test]
    fn names_are_quoted() {
        let odd = state(1, "Od d", "a\"b");
        assert_eq!(odd.full(), "\"Od d\".\"a\"\"b\"");
        assert!(odd.named("a\"b") && odd.named("Od d.a\"b"));
    }
}
