//! Sagas, their recorded steps and their messages as the database holds them, whatever version and table they are of.

use serde_json::Value as Json;

use sen_model::subject::{Kind, Subject};
use sen_model::time::Timestamp;

/// The system's name.
pub const NAME: &str = "saga";

/// A saga as a subject.
pub fn subject(id: &str) -> Subject {
    Subject::new(NAME, Kind::Saga, id)
}

/// What `status` of a saga can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// A step is being executed, or is about to be.
    Running,
    /// Waiting: for the next try of a step, or for an event.
    Suspended,
    /// Given up. Up to 0.2.3 also: rolled back.
    Failed,
    /// Steps are being rolled back.
    Compensating,
    /// The same, waiting: for the next try, or for an event.
    CompensatingSuspended,
    /// Rolled back.
    Compensated,
    /// All steps are done.
    Completed,
    /// The event it waited for did not come in time.
    TimedOut,
    /// Something no version writes, or a value that could not be read.
    Other(String),
}

impl Status {
    /// Every status a version knows, by the name in the database.
    pub const NAMES: [&'static str; 8] = [
        "RUNNING",
        "SUSPENDED",
        "FAILED",
        "COMPENSATING",
        "COMPENSATING_SUSPENDED",
        "COMPENSATED",
        "COMPLETED",
        "TIMEOUT",
    ];

    /// Reads the column.
    pub fn parse(text: &str) -> Self {
        match text {
            "RUNNING" => Self::Running,
            "SUSPENDED" => Self::Suspended,
            "FAILED" => Self::Failed,
            "COMPENSATING" => Self::Compensating,
            "COMPENSATING_SUSPENDED" => Self::CompensatingSuspended,
            "COMPENSATED" => Self::Compensated,
            "COMPLETED" => Self::Completed,
            "TIMEOUT" => Self::TimedOut,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The column's text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Running => "RUNNING",
            Self::Suspended => "SUSPENDED",
            Self::Failed => "FAILED",
            Self::Compensating => "COMPENSATING",
            Self::CompensatingSuspended => "COMPENSATING_SUSPENDED",
            Self::Compensated => "COMPENSATED",
            Self::Completed => "COMPLETED",
            Self::TimedOut => "TIMEOUT",
            Self::Other(text) => text,
        }
    }

    /// The name in data: lower snake case.
    pub const fn name(&self) -> Option<&'static str> {
        Some(match self {
            Self::Running => "running",
            Self::Suspended => "suspended",
            Self::Failed => "failed",
            Self::Compensating => "compensating",
            Self::CompensatingSuspended => "compensating_suspended",
            Self::Compensated => "compensated",
            Self::Completed => "completed",
            Self::TimedOut => "timeout",
            Self::Other(_) => return None,
        })
    }

    /// The name in data, or what is stored instead.
    pub fn words(&self) -> &str {
        self.name().unwrap_or_else(|| self.as_str())
    }
}

/// What a suspended saga waits for, as its context says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Awaiting {
    /// One of these types of event.
    pub types: Vec<String>,
    /// With this correlation id.
    pub correlation: Option<String>,
    /// Until then, as the library wrote it.
    pub until: Option<String>,
}

impl Awaiting {
    /// Reads it out of a context.
    pub fn of(context: &Json) -> Option<Self> {
        let text = |name: &str| context.get(name).and_then(Json::as_str).map(str::to_owned);
        let types = context.get("awaiting_event_types").and_then(Json::as_array);
        let types = types.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect();
        let awaiting = Self { types, correlation: text("awaiting_correlation_id"), until: text("awaiting_until") };
        (awaiting != Self::default()).then_some(awaiting)
    }

    /// What a person calls it: `an event payment.done (correlation order-1)`.
    pub fn words(&self) -> String {
        let types =
            if self.types.is_empty() { "any event".into() } else { format!("event {}", self.types.join(" or ")) };
        match &self.correlation {
            Some(id) => format!("{types} with correlation id {id}"),
            None => types,
        }
    }
}

/// Another saga of the same aggregation that began later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Later {
    /// Its id.
    pub id: String,
    /// Its stored status.
    pub status: Status,
}

impl Later {
    /// Reads `{"id": …, "status": …}`.
    pub fn of(json: &str) -> Option<Self> {
        let json: Json = serde_json::from_str(json).ok()?;
        Some(Self { id: json.get("id")?.as_str()?.to_owned(), status: Status::parse(json.get("status")?.as_str()?) })
    }

    /// Whether it has done the work of its aggregation, or may be doing it.
    pub const fn counts(&self) -> bool {
        !matches!(self.status, Status::Failed | Status::Compensated | Status::TimedOut | Status::Other(_))
    }

    /// The status for people.
    pub fn words(&self) -> String {
        self.status.name().map_or_else(|| self.status.as_str().to_owned(), |name| name.replace('_', " "))
    }
}

/// One row of a state table. `None` is SQL's NULL or a column this version lacks.
#[derive(Debug, Clone, PartialEq)]
pub struct Saga {
    /// The table it stands in, as people write it.
    pub table: String,
    /// Its id.
    pub id: String,
    /// What it is about.
    pub aggregation: String,
    /// The trace it belongs to.
    pub trace: String,
    /// The name of its definition.
    pub name: Option<String>,
    /// The stored status.
    pub status: Status,
    /// How many steps are behind it: the index of the current one.
    pub step: i64,
    /// The token of its current executor.
    pub token: Option<String>,
    /// When it is due, or when the lease of its executor ends.
    pub deadline: Option<Timestamp>,
    /// Failed attempts of the current step.
    pub retries: i64,
    /// The last error.
    pub error: Option<String>,
    /// When it began.
    pub created: Option<Timestamp>,
    /// When the row last changed.
    pub updated: Option<Timestamp>,
    /// Whether its deadline has passed, as the database compared it.
    pub due: Option<bool>,
    /// How long it has been unchanged, in microseconds of the database's clock.
    pub idle: i64,
    /// How long ago its deadline passed, in microseconds; negative: how long until then.
    pub over: Option<i64>,
    /// Whether an act of `sen` made it due: deadline and last change are the same moment, which no worker writes.
    pub handed: bool,
    /// What it waits for.
    pub awaiting: Option<Awaiting>,
    /// The newest saga of the same aggregation that began after this one, where that was looked at.
    pub later: Option<Later>,
    /// Whether a compensation is on record; `None` when that was not read (lists read it for what failed).
    pub compensated: Option<bool>,
    /// The context as JSON text; `None` too when payloads were not requested.
    pub context: Option<String>,
    /// What could not be decoded, if anything: said, never hidden.
    pub unreadable: Vec<String>,
}

/// One recorded attempt at a step.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    /// When, if the version recorded that.
    #[serde(with = "sen_model::saved::optional_micros")]
    pub at: Option<Timestamp>,
    /// EXECUTE or COMPENSATE.
    pub phase: String,
    /// SUCCESS, ERROR, WAITING, TIMEOUT.
    pub status: String,
    /// The step's id in its definition.
    pub step_id: String,
    /// The step's class.
    pub step_name: String,
    /// The number of the try.
    pub attempt: i64,
    /// The token it ran under.
    #[serde(rename = "step_execution_token")]
    pub token: Option<String>,
    /// JSON text.
    pub input: Option<String>,
    /// JSON text.
    pub output: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// Whether an operator's act rather than an execution.
    pub skipped: bool,
}

impl Entry {
    /// Whether it is about executing a step (not about rolling one back).
    pub fn executes(&self) -> bool {
        self.phase.eq_ignore_ascii_case("EXECUTE")
    }

    /// Whether it is about rolling a step back.
    pub fn compensates(&self) -> bool {
        self.phase.eq_ignore_ascii_case("COMPENSATE")
    }

    /// Whether it ended so.
    pub fn is(&self, status: &str) -> bool {
        self.status == status
    }

    /// Which act of an operator it records, if it does (`_admin` in its input, as the library marks its own).
    pub fn act(&self) -> Option<String> {
        let input: Json = serde_json::from_str(self.input.as_deref()?).ok()?;
        input.get("_admin")?.as_str().map(str::to_owned)
    }

    /// The status before the act, where `sen` noted that.
    pub fn before(&self) -> Option<Status> {
        let input: Json = serde_json::from_str(self.input.as_deref()?).ok()?;
        input.get("_sen")?.get("before")?.get("status")?.as_str().map(Status::parse)
    }

    /// Whether a worker had claimed the saga before the act, where `sen` noted that.
    pub fn claimed(&self) -> Option<bool> {
        let input: Json = serde_json::from_str(self.input.as_deref()?).ok()?;
        input.get("_sen")?.get("before")?.get("claimed")?.as_bool()
    }

    /// Whether this operation of `sen` wrote it.
    pub fn is_of(&self, operation: &str) -> bool {
        let input: Option<Json> = self.input.as_deref().and_then(|input| serde_json::from_str(input).ok());
        input.is_some_and(|input| input["_sen"]["operation"] == operation)
    }

    /// Who did it and why, where `sen` noted that.
    pub fn author(&self) -> (Option<String>, Option<String>) {
        let input: Option<Json> = self.input.as_deref().and_then(|input| serde_json::from_str(input).ok());
        let text = |name: &str| input.as_ref()?.get("_sen")?.get(name)?.as_str().map(str::to_owned);
        (text("who"), text("why"))
    }

    /// Reads the entries that versions before the history table kept in the row.
    pub fn list(json: &str) -> Option<Vec<Self>> {
        let Json::Array(items) = serde_json::from_str(json).ok()? else { return None };
        Some(items.iter().map(Self::of).collect())
    }

    fn of(item: &Json) -> Self {
        let text = |name: &str| item.get(name).and_then(Json::as_str).map(str::to_owned);
        let json = |name: &str| item.get(name).filter(|value| !value.is_null()).map(Json::to_string);
        Self {
            at: text("timestamp").and_then(|text| sen_model::time::When::parse(&text).ok()).and_then(
                |when| match when {
                    sen_model::time::When::At(moment) => Some(moment),
                    sen_model::time::When::Ago(_) => None,
                },
            ),
            phase: text("phase").unwrap_or_default(),
            status: text("status").unwrap_or_default(),
            step_id: text("step_id").unwrap_or_default(),
            step_name: text("step_name").unwrap_or_default(),
            attempt: item.get("attempt").and_then(Json::as_i64).unwrap_or_default(),
            token: text("token"),
            input: json("input"),
            output: json("output"),
            error: text("error"),
            skipped: item.get("skipped").and_then(Json::as_bool).unwrap_or_default(),
        }
    }
}

/// An id as the library prints it: `73277b4b-da5d-49ab-b7d1-76bbaee5575a`. `None` when it is no UUID.
pub fn uuid(text: &str) -> Option<String> {
    uuid::Uuid::parse_str(text.trim()).ok().map(|id| id.to_string())
}

/// The first and the last id with this prefix; `None` when no id can have it.
pub fn uuid_range(prefix: &str) -> Option<(String, String)> {
    let digits: String = prefix.chars().filter(|c| *c != '-').collect();
    if digits.len() > 32 || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    Some((uuid(&format!("{digits:0<32}"))?, uuid(&format!("{digits:f<32}"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_say_what_is_awaited() {
        let context = serde_json::json!({"awaiting_event_types": ["paid"], "awaiting_correlation_id": "o-1"});
        assert_eq!(Awaiting::of(&context).unwrap().words(), "event paid with correlation id o-1");
        assert_eq!(Awaiting::of(&serde_json::json!({"awaiting_event_types": [], "awaiting_until": null})), None);
    }

    #[test]
    fn beginnings_of_ids_are_ranges() {
        let (low, high) = uuid_range("73277b4b-da").unwrap();
        assert_eq!(low, "73277b4b-da00-0000-0000-000000000000");
        assert_eq!(high, "73277b4b-daff-ffff-ffff-ffffffffffff");
        assert!(uuid_range("order-1").is_none() && uuid_range("").is_some());
    }

    #[test]
    fn entries_of_the_oldest_version_are_read() {
        let json = r#"[{"phase":"execute","status":"SUCCESS","step_id":"a","step_name":"A","attempt":0,"token":"t",
            "input":{"_admin":"skip_step","_sen":{"who":"maria@ops","why":"INC"}},"output":{},"error":null,"skipped":true},
            {"timestamp":"2026-11-25T16:49:20.663572+00:00","phase":"compensate","status":"ERROR"}]"#;
        let entries = Entry::list(json).unwrap();
        assert_eq!(entries[0].act().as_deref(), Some("skip_step"));
        assert_eq!(entries[0].author(), (Some("maria@ops".into()), Some("INC".into())));
        assert!(entries[0].executes() && entries[0].at.is_none() && entries[1].compensates());
        assert!(entries[1].at.is_some());
        assert_eq!(Entry::list("{}"), None);
    }
}
