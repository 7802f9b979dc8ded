//! What the keys of one task hold, read leniently: what cannot be understood becomes a finding, never an error. Pure.

use serde_json::Value as Json;

use sen_model::time::Timestamp;

/// The system's name.
pub const NAME: &str = "node";

/// What `status` can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Waiting for a worker.
    Queued,
    /// A worker has it.
    Leased,
    /// As `Leased`; no released worker writes it.
    InProgress,
    /// Done.
    Completed,
    /// Given up on, or cancelled.
    Failed,
    /// No released worker writes it, and none claims it.
    Retrying,
}

impl Status {
    /// All of them, as the controller counts them.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Leased, Self::InProgress, Self::Completed, Self::Failed, Self::Retrying];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Leased => "leased",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Retrying => "retrying",
        }
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == text)
    }

    /// Whether a worker is said to hold the task.
    pub const fn is_held(self) -> bool {
        matches!(self, Self::Leased | Self::InProgress)
    }

    /// Whether nothing more will happen by itself.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

/// The stored texts that a change is guarded by; absent is empty, as the system itself takes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Observed {
    /// `status`.
    pub status: String,
    /// `owner`.
    pub owner: String,
    /// `lease_expires`.
    pub lease: String,
    /// `updated_at`.
    pub updated: String,
}

/// A task: the hash `task:{id}:meta`.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// The id in its key.
    pub id: String,
    /// What a change would be guarded by.
    pub seen: Observed,
    /// Its status, where that is one of the six.
    pub status: Option<Status>,
    /// Whose it is.
    pub tenant_id: Option<String>,
    /// The worker that has or had it.
    pub owner: Option<String>,
    /// When that worker's lease ends or ended.
    pub lease_expires: Option<Timestamp>,
    /// The last node that was saved.
    pub current_node: Option<String>,
    /// How often it was tried.
    pub attempts: i64,
    /// How often it may be.
    pub max_attempts: i64,
    /// What it cost, as far as the hash says: the checkpoint knows more.
    pub cost: f64,
    /// What it may cost.
    pub cost_limit: Option<f64>,
    /// What it does.
    pub task_type: Option<String>,
    /// Which kind of agent does it.
    pub agent_type: String,
    /// When it was submitted.
    pub created_at: Option<Timestamp>,
    /// When its hash was last saved.
    pub updated_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
    /// Its parameters, a JSON object; `None` when not asked for.
    pub params: Option<String>,
    /// Its result, a JSON object.
    pub result: Option<String>,
    /// Whether the heartbeat of its owner is there; `None` where it does not matter or was not asked for.
    pub owner_alive: Option<bool>,
    /// Of a completed task: how many of its nodes failed, and of how many, as its checkpoint says. `None` where it has no
    /// checkpoint (any more), or none was read.
    pub nodes: Option<(usize, usize)>,
    /// What cannot be understood.
    pub findings: Vec<String>,
    /// What cannot be understood of parameters and result. Lists and counts do not read these, so they judge without it.
    pub odd_payloads: Vec<String>,
}

/// The fields of the hash that [`Task::read`] takes, in this order. The payloads come last.
pub const FIELDS: [&str; 18] = [
    "task_id",
    "status",
    "tenant_id",
    "owner",
    "lease_expires",
    "current_node",
    "attempts",
    "max_attempts",
    "cost_so_far",
    "cost_limit",
    "task_type",
    "agent_type",
    "created_at",
    "updated_at",
    "completed_at",
    "error",
    "task_params",
    "result",
];

/// How many of [`FIELDS`] are no payloads.
pub const PLAIN: usize = 16;

impl Task {
    /// Reads the values of [`FIELDS`], or of its first [`PLAIN`] ones. A missing value of a field with a default gets the
    /// default the system's own model gives it.
    pub fn read(id: String, values: Vec<Option<String>>) -> Self {
        let mut values = values.into_iter();
        let mut findings = Vec::new();
        let mut next = || values.next().flatten().filter(|text| !text.is_empty());
        let stored_id = next();
        let status_text = next();
        let tenant_id = next();
        let owner = next();
        let lease_text = next();
        let current_node = next();
        let attempts = whole("attempts", next(), 0, &mut findings);
        let max_attempts = whole("max_attempts", next(), 3, &mut findings);
        let cost = number("cost_so_far", next(), &mut findings).unwrap_or(0.0);
        let cost_limit = number("cost_limit", next(), &mut findings);
        let task_type = next();
        let agent_type = next().unwrap_or_else(|| "prompt-based".into());
        let created_at = moment("created_at", next().as_deref(), &mut findings);
        let updated_text = next();
        let updated_at = moment("updated_at", updated_text.as_deref(), &mut findings);
        let completed_at = moment("completed_at", next().as_deref(), &mut findings);
        let error = next();
        let mut odd_payloads = Vec::new();
        let params = object("task_params", next(), &mut odd_payloads);
        let result = object("result", next(), &mut odd_payloads);
        let lease_expires = moment("lease_expires", lease_text.as_deref(), &mut findings);
        let status = status_text.as_deref().and_then(Status::parse);
        match &status_text {
            Some(text) if status.is_none() => findings.push(format!("its status is {text:?}, which no version writes")),
            _ => {}
        }
        for (name, missing) in [
            ("task_id", stored_id.is_none()),
            ("status", status_text.is_none()),
            ("tenant_id", tenant_id.is_none()),
            ("task_type", task_type.is_none()),
        ] {
            if missing {
                findings.push(format!("it has no {name}"));
            }
        }
        if let Some(other) = stored_id.filter(|stored| *stored != id) {
            findings.push(format!("its task_id says {other:?}"));
        }
        let seen = Observed {
            status: status_text.unwrap_or_default(),
            owner: owner.clone().unwrap_or_default(),
            lease: lease_text.unwrap_or_default(),
            updated: updated_text.unwrap_or_default(),
        };
        Self {
            id,
            seen,
            status,
            tenant_id,
            owner,
            lease_expires,
            current_node,
            attempts,
            max_attempts,
            cost,
            cost_limit,
            task_type,
            agent_type,
            created_at,
            updated_at,
            completed_at,
            error,
            params,
            result,
            owner_alive: None,
            nodes: None,
            findings,
            odd_payloads,
        }
    }

    /// Everything that cannot be understood.
    pub fn oddities(&self) -> impl Iterator<Item = &String> {
        self.findings.iter().chain(&self.odd_payloads)
    }

    /// A key that holds something else than a task.
    pub fn broken(id: String, finding: String) -> Self {
        let mut task = Self::read(id, Vec::new());
        task.findings = vec![finding];
        task
    }

    /// Whether a worker is said to hold it.
    pub fn is_held(&self) -> bool {
        self.status.is_some_and(Status::is_held)
    }

    /// Whether its attempts are used up.
    pub fn out_of_attempts(&self) -> bool {
        self.attempts >= self.max_attempts
    }

    /// Whether it is marked completed although nodes of it failed.
    pub fn has_failed_nodes(&self) -> bool {
        self.status == Some(Status::Completed) && self.nodes.is_some_and(|(failed, _)| failed > 0)
    }

    /// Whether it failed because somebody cancelled it, as the controller words it.
    pub fn is_cancelled(&self) -> bool {
        self.status == Some(Status::Failed) && self.error.as_deref() == Some(CANCELLED)
    }
}

/// What the controller writes as the error of a task that it cancels.
pub const CANCELLED: &str = "Cancelled by user";

fn whole(name: &str, text: Option<String>, default: i64, findings: &mut Vec<String>) -> i64 {
    let Some(text) = text else { return default };
    text.trim().parse().unwrap_or_else(|_| {
        findings.push(format!("{name} is {text:?}, not a whole number"));
        default
    })
}

fn number(name: &str, text: Option<String>, findings: &mut Vec<String>) -> Option<f64> {
    let text = text?;
    let parsed = text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    if parsed.is_none() {
        findings.push(format!("{name} is {text:?}, not a number"));
    }
    parsed
}

fn moment(name: &str, text: Option<&str>, findings: &mut Vec<String>) -> Option<Timestamp> {
    let text = text?;
    let parsed = naive_utc(text);
    if parsed.is_none() {
        findings.push(format!("{name} is {text:?}, not a time"));
    }
    parsed
}

/// A JSON object as text; `None` for anything else.
fn object(name: &str, text: Option<String>, findings: &mut Vec<String>) -> Option<String> {
    let text = text?;
    match serde_json::from_str::<Json>(&text) {
        Ok(Json::Object(_)) => Some(text),
        Ok(_) => {
            findings.push(format!("{name} is no JSON object, and the controller cannot read this task"));
            None
        }
        Err(_) => {
            findings.push(format!("{name} is no JSON, and the controller cannot read this task"));
            None
        }
    }
}

/// A moment as this system writes it: ISO 8601 without a zone, meant as UTC whatever the zone of any machine. One with a
/// zone is taken at its word.
pub fn naive_utc(text: &str) -> Option<Timestamp> {
    if let Ok(naive) = text.parse::<jiff::civil::DateTime>()
        && !text.ends_with(['Z', 'z'])
    {
        // The offset of `…+02:00` is not part of a civil time: such a text is read below.
        let zoned = text.rfind(['+', '-']).is_some_and(|at| at > 10);
        if !zoned {
            let moment = naive.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
            return Some(Timestamp::from_micros(moment.as_microsecond()));
        }
    }
    text.parse::<jiff::Timestamp>().ok().map(|moment| Timestamp::from_micros(moment.as_microsecond()))
}

/// A moment as this system writes it.
pub fn to_naive_utc(moment: Timestamp) -> String {
    let mut text = moment.to_string();
    if text.ends_with('Z') {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> Vec<Option<String>> {
        let find = |field: &&str| pairs.iter().find(|(name, _)| name == field).map(|(_, text)| (*text).to_owned());
        FIELDS.iter().map(find).collect()
    }

    const WHOLE: [(&str, &str); 4] =
        [("task_id", "t"), ("status", "queued"), ("tenant_id", "acme"), ("task_type", "research")];

    #[test]
    fn defaults_are_those_of_the_models() {
        let task = Task::read("t".into(), values(&WHOLE));
        assert_eq!((task.attempts, task.max_attempts, task.cost), (0, 3, 0.0));
        assert_eq!((task.agent_type.as_str(), task.status), ("prompt-based", Some(Status::Queued)));
        assert!(task.findings.is_empty() && task.owner.is_none());
    }

    #[test]
    fn every_odd_field_is_one_finding() {
        let mut pairs = WHOLE.to_vec();
        pairs.extend([
            ("attempts", "many"),
            ("cost_so_far", "nan"),
            ("lease_expires", "soon"),
            ("task_params", "{"),
            ("result", "[]"),
            ("owner", ""),
        ]);
        pairs[1].1 = "lost";
        let task = Task::read("t".into(), values(&pairs));
        assert_eq!((task.findings.len(), task.odd_payloads.len()), (4, 2), "{:?}", task.findings);
        assert_eq!(task.seen.status, "lost");
        assert_eq!(Task::read("t".into(), Vec::new()).findings.len(), 4);
        assert_eq!(Task::broken("t".into(), "x".into()).findings, ["x"]);
    }

    #[test]
    fn naive_times_are_utc() {
        let moment = Timestamp::from_micros(1_795_205_760_123_456);
        assert_eq!(naive_utc("2026-11-20T20:16:00.123456"), Some(moment));
        assert_eq!(naive_utc("2026-11-20T20:16:00.123456Z"), Some(moment));
        assert_eq!(naive_utc("2026-11-20T22:16:00.123456+02:00"), Some(moment));
        assert_eq!(naive_utc("2026-11-20 20:16:00.123456"), Some(moment));
        assert_eq!(naive_utc("2026-11-20T20:16:00"), Some(Timestamp::from_micros(1_795_205_760_000_000)));
        assert_eq!(naive_utc("yesterday"), None);
        assert_eq!(to_naive_utc(moment), "2026-11-20T20:16:00.123456");
    }
}
