//! Changes: guarded scripts, and what is done when the answer to one is lost.
//!
//! Every script carries the moment after which it writes nothing, and leaves a record with the operation's id on the
//! stream. So a lost answer is not the end of knowledge: on a new connection the record says that the change was made,
//! and once that moment has passed without one, that it never will be.

use std::time::Duration;

use super::super::port::{Act, Acted, EventRecord, Made, NewTask, Restored, Verb};
use super::super::record::to_naive_utc;
use super::super::undo::image;
use super::decode::{Replies, STREAM, beat_key, clock, entries, meta_key, pairs};
use super::{RedisTasks, scripts};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::permit::WritePermit;
use sen_model::rows::RowChange;
use sen_model::time::{Timestamp, Uptime};
use sen_stores::redis::{Batch, Reply};

/// The longest that a script may lie about before it is carried out.
const LATEST: Duration = Duration::from_secs(5);
/// How long the truth is looked for after a script's last moment has passed.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many scripts are sent at once: some milliseconds of the server's time.
const AT_ONCE: usize = 50;

/// A script to be run.
struct Call {
    script: &'static str,
    keys: Vec<String>,
    args: Vec<String>,
    /// The value of its record's `task_id` or `tenant_id`.
    mark: String,
}

/// What stands on the stream.
struct Records {
    /// The server's time before it was read.
    now: Timestamp,
    /// The records since the moment asked for.
    records: Vec<EventRecord>,
    /// Whether older ones are there still, so that none of these can have been cut off.
    whole: bool,
}

/// What is known of a script that was sent.
enum Answer {
    /// Its reply.
    Reply(Vec<Reply>),
    /// Its record: the reply was lost.
    Record(EventRecord),
}

impl RedisTasks {
    /// Makes these changes in order, and says of each what came of it.
    pub(super) async fn change(&self, acts: &[Act], permit: &WritePermit) -> Vec<Result<Acted>> {
        let mut out = Vec::with_capacity(acts.len());
        for part in acts.chunks(AT_ONCE) {
            let answers =
                self.run(permit, |now, latest| part.iter().map(|act| call(act, now, &latest, permit)).collect()).await;
            out.extend(answers.into_iter().map(|answer| answer.and_then(acted)));
        }
        out
    }

    /// Stores a new task unless its id is taken.
    pub(super) async fn create(&self, task: &NewTask, permit: &WritePermit) -> Result<bool> {
        let make = |now: Timestamp, latest: String| {
            let written = to_naive_utc(now);
            let mut record: Vec<String> =
                words(&["event", "task_submitted", "task_id", &task.id, "new_status", "queued", "timestamp", &written]);
            record.extend(signature(permit));
            let mut args = vec![latest, record.len().to_string()];
            args.extend(record);
            args.extend(task.fields.iter().flat_map(|(name, value)| [(*name).to_owned(), value.clone()]));
            args.extend(words(&["created_at", &written, "updated_at", &written]));
            vec![Call {
                script: scripts::SUBMIT,
                keys: vec![meta_key(&task.id), STREAM.into()],
                args,
                mark: task.id.clone(),
            }]
        };
        Ok(self.run_one(permit, make).await? != "exists")
    }

    /// Gives a task its hash back unless it is no longer as it was left.
    pub(super) async fn give_back(&self, restored: &Restored<'_>, permit: &WritePermit) -> Result<bool> {
        let flat = |fields: &[(String, String)]| -> Vec<String> {
            fields.iter().flat_map(|(name, value)| [name.clone(), value.clone()]).collect()
        };
        let status = |fields: &[(String, String)]| {
            fields.iter().find(|(name, _)| name == "status").map(|(_, status)| status.clone()).unwrap_or_default()
        };
        let make = |now: Timestamp, latest: String| {
            let (left, wanted) = (flat(restored.after), flat(restored.before));
            let mut record = words(&[
                "event",
                "task_restored",
                "task_id",
                restored.id,
                "old_status",
                &status(restored.after),
                "new_status",
                &status(restored.before),
                "timestamp",
                &to_naive_utc(now),
            ]);
            record.extend(signature(permit));
            let mut args = vec![latest, left.len().to_string(), wanted.len().to_string(), record.len().to_string()];
            args.extend(left);
            args.extend(wanted);
            args.extend(record);
            let keys = vec![meta_key(restored.id), STREAM.into()];
            vec![Call { script: scripts::PUT_BACK, keys, args, mark: restored.id.to_owned() }]
        };
        Ok(self.run_one(permit, make).await? == "done")
    }

    /// Fills or removes a bucket unless its key holds something else.
    pub(super) async fn fill_bucket(
        &self,
        tenant: &str,
        fill: Option<(f64, Option<f64>)>,
        permit: &WritePermit,
    ) -> Result<bool> {
        let number = |number: f64| serde_json::json!(number).to_string();
        let make = |now: Timestamp, latest: String| {
            let micros = now.as_micros();
            let seconds = format!("{}.{:06}", micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
            let (event, tokens, rate) = match fill {
                Some((tokens, rate)) => ("rate_limit_set", number(tokens), rate.map(number).unwrap_or_default()),
                None => ("rate_limit_reset", String::new(), String::new()),
            };
            let mut args = vec![latest, tokens.clone(), seconds, rate];
            args.extend(words(&[
                "event",
                event,
                "tenant_id",
                tenant,
                "tokens",
                &tokens,
                "timestamp",
                &to_naive_utc(now),
            ]));
            args.extend(signature(permit));
            let keys = vec![format!("ratelimit:tenant:{tenant}"), STREAM.into()];
            vec![Call { script: scripts::BUCKET, keys, args, mark: tenant.to_owned() }]
        };
        Ok(self.run_one(permit, make).await? != "type")
    }

    /// Runs one script and returns the first word of its answer.
    async fn run_one(&self, permit: &WritePermit, make: impl FnOnce(Timestamp, String) -> Vec<Call>) -> Result<String> {
        let answer = self.run(permit, make).await.pop();
        match answer.ok_or_else(|| Error::new(ErrorKind::Internal, "the outcome of a change is missing"))?? {
            Answer::Record(_) => Ok("done".into()),
            Answer::Reply(parts) => match Replies(parts.into_iter()).next().text() {
                Some(word) if word == "late" => Err(late()),
                Some(word) => Ok(word),
                None => Err(Error::new(ErrorKind::Unreadable, "Redis answered a script with nothing")),
            },
        }
    }

    /// Runs the scripts that `make` gives for the server's time and the moment after which they may write nothing.
    async fn run(
        &self,
        permit: &WritePermit,
        make: impl FnOnce(Timestamp, String) -> Vec<Call>,
    ) -> Vec<Result<Answer>> {
        let now = match self.redis.call(&[b"TIME"]).await.and_then(clock) {
            Ok(now) => now,
            // Nothing was sent that could write.
            Err(error) => {
                let calls = make(Timestamp::here(), String::new());
                let again = |_| {
                    Err(Error::new(error.kind(), error.to_string())
                        .with_hint(error.hint().unwrap_or("nothing was written")))
                };
                return calls.iter().map(again).collect();
            }
        };
        let latest = now.plus(self.redis.limit().unwrap_or(LATEST).min(LATEST));
        let calls = make(now, latest.as_micros().to_string());
        let mut batch = Batch::new();
        for call in &calls {
            let count = call.keys.len().to_string();
            let mut words: Vec<&[u8]> = vec![b"EVAL", call.script.as_bytes(), count.as_bytes()];
            words.extend(call.keys.iter().chain(&call.args).map(String::as_bytes));
            batch.add(&words);
        }
        match self.redis.exchange(&batch).await {
            Ok(replies) => replies.into_iter().map(|reply| Ok(Answer::Reply(reply.array()?))).collect(),
            // A connection could not be made: nothing was sent.
            Err(error) if error.kind() == ErrorKind::Connect => {
                calls.iter().map(|_| Err(Error::new(ErrorKind::Connect, error.to_string()))).collect()
            }
            Err(error) => self.find_out(&calls, permit, now, latest, &error).await,
        }
    }

    /// Finds out what became of scripts whose answers were lost.
    async fn find_out(
        &self,
        calls: &[Call],
        permit: &WritePermit,
        sent: Timestamp,
        latest: Timestamp,
        error: &Error,
    ) -> Vec<Result<Answer>> {
        let operation = permit.operation().to_string();
        let rest = u64::try_from(latest.micros_since(sent)).unwrap_or(0);
        let until = Uptime::now().plus(Duration::from_micros(rest)).plus(PATIENCE);
        loop {
            if let Ok(Records { now, records, whole }) = self.records(sent).await {
                let find = |call: &Call| {
                    records.iter().find(|record| {
                        let about = record.field("task_id").or(record.field("tenant_id"));
                        record.field("operation") == Some(&operation) && about == Some(&call.mark)
                    })
                };
                // Without a record nothing was written, unless records of that time have been cut off since.
                if (now > latest && whole) || calls.iter().all(|call| find(call).is_some()) {
                    let answer = |call| match find(call) {
                        Some(record) => Ok(Answer::Record(record.clone())),
                        None => Err(Error::new(error.kind(), format!("{error}; nothing was written"))),
                    };
                    return calls.iter().map(answer).collect();
                }
            }
            if Uptime::now() > until {
                let unknown = |_| {
                    Err(Error::new(
                        ErrorKind::OutcomeUnknown,
                        format!("{error}, and Redis could not be asked what became of it"),
                    )
                    .with_hint(format!("look for operation {operation} in `sen agent events`")))
                };
                return calls.iter().map(unknown).collect();
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The records since a moment, of a server that is not a replica: one that is can lag behind.
    async fn records(&self, since: Timestamp) -> Result<Records> {
        let mut batch = Batch::of(&[b"TIME"]);
        let from = (since.as_micros() / 1000).max(0).to_string();
        batch.add(&[b"XRANGE", STREAM.as_bytes(), from.as_bytes(), b"+"]);
        batch.add(&[b"XRANGE", STREAM.as_bytes(), b"-", b"+", b"COUNT", b"1"]);
        batch.add(&[b"INFO", b"replication"]);
        let limit = Some(Duration::from_secs(1));
        let mut replies = Replies(self.redis.exchange_within(&batch, limit).await?.into_iter());
        let (now, records, oldest) = (clock(replies.next())?, entries(replies.next())?, entries(replies.next())?);
        // A role that may not ask is believed to be at the right server.
        if replies.next().text().is_some_and(|info| info.contains("role:slave")) {
            return Err(Error::new(ErrorKind::Pending, "this Redis is a replica"));
        }
        let whole = match (oldest.first(), records.first()) {
            (Some(oldest), Some(first)) => oldest.id != first.id,
            _ => true,
        };
        Ok(Records { now, records, whole })
    }
}

fn words(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Who did it and why, as pairs for the record.
fn signature(permit: &WritePermit) -> Vec<String> {
    let mut out = words(&["tool", "sen", "operation", &permit.operation().to_string()]);
    for (name, value) in [("who", permit.operator()), ("why", permit.reason())] {
        out.extend(value.into_iter().flat_map(|value| words(&[name, value])));
    }
    out
}

fn call(act: &Act, now: Timestamp, latest: &str, permit: &WritePermit) -> Call {
    let seen = &act.seen;
    let script = match act.verb {
        Verb::Cancel => scripts::CANCEL,
        Verb::Requeue => scripts::REQUEUE,
        Verb::Replay => scripts::REPLAY,
    };
    let mut keys = vec![meta_key(&act.id), STREAM.to_owned()];
    // A task that is over keeps its owner, who may be alive and at another task.
    let held = matches!(seen.status.as_str(), "leased" | "in_progress" | "retrying");
    if act.verb != Verb::Cancel && held && !seen.owner.is_empty() {
        keys.push(beat_key(&seen.owner));
    }
    let updated = if act.verb == Verb::Cancel { "" } else { seen.updated.as_str() };
    let mut args = vec![latest.to_owned()];
    args.extend(words(&[&seen.status, &seen.owner, &seen.lease, updated, &to_naive_utc(now), &act.id]));
    args.extend(signature(permit));
    Call { script, keys, args, mark: act.id.clone() }
}

fn late() -> Error {
    Error::new(ErrorKind::Timeout, "Redis came to it too late; nothing was written")
        .with_hint("is the server overloaded?")
}

fn acted(answer: Answer) -> Result<Acted> {
    let parts = match answer {
        Answer::Record(record) => {
            let number = record.field("attempts").and_then(|text| text.parse().ok());
            let status = record.field("new_status").unwrap_or_default().to_owned();
            return Ok(Acted::Done(Made { status, attempts: number.unwrap_or(0), changes: Vec::new() }));
        }
        Answer::Reply(parts) => parts,
    };
    let mut parts = Replies(parts.into_iter());
    let first = parts.next().text().unwrap_or_default();
    if first == "done" {
        let (status, attempts) = (parts.next().text().unwrap_or_default(), parts.next().text().unwrap_or_default());
        let mut hash = || pairs(parts.next()).ok().and_then(image);
        let (before, after) = (hash(), hash());
        let change = RowChange { table: "its hash".into(), before, after };
        let whole = change.before.is_some() && change.after.is_some();
        let changes = if whole { vec![change] } else { Vec::new() };
        return Ok(Acted::Done(Made { status, attempts: attempts.parse().unwrap_or(0), changes }));
    }
    let mut next = || parts.next().text().unwrap_or_default();
    Ok(match first.as_str() {
        "changed" => Acted::Changed { status: next(), owner: next() },
        "alive" => Acted::OwnerAlive,
        "missing" => Acted::Missing,
        "type" => Acted::NoHash(next()),
        "late" => Acted::TooLate,
        other => return Err(Error::new(ErrorKind::Unreadable, format!("Redis answered a script with {other:?}"))),
    })
}
