//! Single values as rows, fields and sections have them.

use crate::codec::{Codec, Decoded, Outcome, decode};
use crate::record::{Task, TaskState};
use crate::verdict;
use sen_model::record::Age;
use sen_model::time::Timestamp;
use sen_model::time::wall::{Wall, Zone};
use sen_model::value::Value;

/// The workers' clock turned into moments.
#[derive(Clone, Copy)]
pub(crate) struct Clock<'a> {
    pub(crate) zone: &'a Zone,
    /// The database's clock.
    pub(crate) now: Timestamp,
    /// What the workers' clock shows at that moment.
    pub(crate) wall: Wall,
}

impl<'a> Clock<'a> {
    pub(crate) fn new(zone: &'a Zone, now: Timestamp) -> Self {
        Self { zone, now, wall: zone.wall(now) }
    }

    pub(crate) fn time(&self, wall: Option<Wall>) -> Value {
        Value::time(wall.map(|wall| self.zone.moment(wall)))
    }

    /// How old something is that may have begun and ended.
    pub(crate) fn age(&self, created: Option<Wall>, started: Option<Wall>, ended: Option<Wall>) -> Age {
        let happened = [("ended", ended), ("started", started), ("created", created)];
        let last = happened.into_iter().find(|(_, at)| at.is_some()).unwrap_or(("created", None));
        Age::of(last.0, last.1.map(|at| self.zone.moment(at)))
    }

    /// When something died.
    pub(crate) fn died(&self, at: Option<Wall>) -> Age {
        Age::of("died", at.map(|at| self.zone.moment(at)))
    }

    /// How long something took, or has been taking.
    pub(crate) fn took(&self, from: Option<Wall>, to: Option<Wall>, ended: bool) -> Value {
        let to = if ended { to } else { Some(to.unwrap_or(self.wall)) };
        match (from, to) {
            (Some(from), Some(to)) if from.is_finite() && to.is_finite() => {
                Value::Millis((to.as_micros() - from.as_micros()).max(0) / 1000)
            }
            _ => Value::Null,
        }
    }
}

pub(crate) fn state_name(name: Option<&'static str>, text: &str) -> Value {
    name.map_or_else(|| Value::Text(text.to_owned()), Value::Name)
}

pub(crate) fn texts(texts: &[String]) -> Value {
    Value::List(texts.iter().map(|text| Value::Text(text.clone())).collect())
}

pub(crate) fn int(number: Option<i64>) -> Value {
    number.map_or(Value::Null, Value::Int)
}

/// How often a task was begun: a waiting one as often as it failed, any other once more.
pub(crate) fn attempts(task: &Task) -> Value {
    let begun = i64::from(task.state != TaskState::Pending);
    int(task.retries.map(|retries| retries.saturating_add(begun)))
}

pub(crate) fn payload(bytes: Option<&[u8]>) -> Option<Decoded> {
    bytes.map(decode)
}

pub(crate) fn json(decoded: Option<&Decoded>) -> Value {
    let there = decoded.filter(|decoded| decoded.codec != Codec::Empty);
    there.map_or(Value::Null, |decoded| Value::Json(decoded.json.clone()))
}

/// An error in one line.
pub(crate) fn error_line(bytes: Option<&[u8]>) -> Value {
    Value::text(bytes.and_then(verdict::error_line))
}

pub(crate) type Fields = Vec<(&'static str, Value)>;

/// What a payload means to the library.
pub(crate) fn outcome(decoded: Option<&Decoded>) -> Value {
    decoded.map_or(Value::Null, |decoded| {
        Value::Name(match decoded.outcome {
            Outcome::Value => "value",
            Outcome::Ok => "ok",
            Outcome::Error => "error",
        })
    })
}

/// The codec of the first payload that is there.
pub(crate) fn codec<'a>(decoded: impl IntoIterator<Item = &'a Option<Decoded>>) -> Value {
    let names = decoded.into_iter().flatten().map(|decoded| decoded.codec.name());
    names.into_iter().find(|name| *name != "empty").map_or(Value::Null, Value::Name)
}

/// A retry policy, where it is the JSON it should be.
pub(crate) fn policy(text: Option<String>) -> Value {
    let json = text.filter(|text| serde_json::from_str::<serde_json::Value>(text).is_ok());
    json.map_or(Value::Null, Value::Json)
}
