//! Agent tasks in Redis: the keys, read in batches. Changes are in `act.rs`, the walk over all tasks in `scan.rs`.

mod act;
mod decode;
mod scan;
mod scripts;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;

use super::checkpoint::{Checkpoint, Effect, Heartbeat};
use super::port::{
    Act, Acted, Bucket, Depth, DiagnosticFacts, Events, Look, NewTask, Restored, Server, TaskStore, TaskStream,
};
use super::record::{FIELDS, PLAIN, Task};
use super::rights::{self, Lacking};
use decode::{
    LOOK_AT, Replies, STREAM, beat_key, before, between, clock, entries, literal, meta_key, pairs, task, ttl,
};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::permit::WritePermit;
use sen_model::time::Timestamp;
use sen_stores::redis::{Batch, Redis, Reply};

/// How many events are read at once.
const PAGE: usize = 1000;
/// More events are never kept in memory.
const MOST_EVENTS: u64 = 100_000;

/// The store.
pub struct RedisTasks {
    redis: Arc<Redis>,
}

impl RedisTasks {
    /// Over an open connection, or one that will be opened when it is needed.
    pub fn new(redis: Arc<Redis>) -> Self {
        Self { redis }
    }

    /// The keys that match `pattern`, each once, handed over in parts.
    async fn keys(&self, pattern: &str, mut tell: impl FnMut(String)) -> Result<()> {
        let mut cursor = b"0".to_vec();
        let mut seen = scan::Once::default();
        let mut pages = scan::Pages::default();
        loop {
            let reply = self.redis.call(&[b"SCAN", &cursor, b"MATCH", pattern.as_bytes(), b"COUNT", LOOK_AT]).await?;
            pages.next(&self.redis).await?;
            let (next, keys) = scan::page(reply)?;
            for key in keys {
                if seen.first(&key)
                    && let Ok(key) = String::from_utf8(key)
                {
                    tell(key);
                }
            }
            if next == b"0" {
                return Ok(());
            }
            cursor = next;
        }
    }
}

/// What INFO says of `name`.
fn fact<'a>(told: &'a str, name: &str) -> Option<&'a str> {
    told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

#[async_trait]
impl TaskStore for RedisTasks {
    fn database(&self) -> &str {
        self.redis.describe()
    }

    async fn server(&self) -> Result<Server> {
        let mut batch = Batch::of(&[b"TIME"]);
        batch.add(&[b"INFO", b"server"]);
        batch.add(&[b"INFO", b"replication"]);
        batch.add(&[b"XLEN", STREAM.as_bytes()]);
        let mut replies = Replies(self.redis.exchange(&batch).await?.into_iter());
        let now = clock(replies.next())?;
        // INFO is denied to many users, and nothing depends on it.
        let told = replies.next().text().unwrap_or_default() + &replies.next().text().unwrap_or_default();
        let version = match fact(&told, "valkey_version") {
            Some(version) => Some(format!("Valkey {version}")),
            None => fact(&told, "redis_version").map(|version| format!("Redis {version}")),
        };
        let replica = matches!(fact(&told, "role"), Some("slave" | "replica"));
        Ok(Server { version, replica, events: replies.next().permitted()?.int(), now: Some(now) })
    }

    async fn diagnostics(&self) -> Result<DiagnosticFacts> {
        let mut batch = Batch::of(&[b"INFO", b"memory"]);
        batch.add(&[b"INFO", b"persistence"]);
        batch.add(&[b"INFO", b"replication"]);
        batch.add(&[b"XLEN", STREAM.as_bytes()]);
        batch.add(&[b"CONFIG", b"GET", b"appendfsync"]);
        let mut replies = Replies(self.redis.exchange(&batch).await?.into_iter());
        let told: String = (0..3).filter_map(|_| replies.next().text()).collect();
        let word = |name: &str| fact(&told, name);
        let number = |name: &str| word(name).and_then(|text| text.parse().ok());
        Ok(DiagnosticFacts {
            eviction: word("maxmemory_policy").map(str::to_owned),
            max_memory: number("maxmemory"),
            used_memory: number("used_memory"),
            append_only: number("aof_enabled").map(|on: i64| on == 1),
            unsaved: number("rdb_changes_since_last_save"),
            last_save: number("rdb_last_save_time"),
            save_failed: word("rdb_last_bgsave_status").is_some_and(|text| text != "ok"),
            replica: matches!(word("role"), Some("slave" | "replica")),
            events: replies.next().int(),
            append_sync: decode::pairs(replies.next()).ok().and_then(|pairs| Some(pairs.into_iter().next()?.1)),
            encryption: self.redis.encryption().await,
        })
    }

    async fn lacking(&self) -> Result<Lacking> {
        let mut batch = Batch::new();
        for (command, key, rest) in rights::READS {
            let words = rights::tried(command, key, rest);
            batch.add(&words.iter().map(String::as_bytes).collect::<Vec<_>>());
        }
        let acts = rights::ACTS.map(|(command, key, rest)| rights::tried(command, key, rest));
        let counts: Vec<String> = acts.iter().map(|words| words.len().to_string()).collect();
        let mut words: Vec<&[u8]> = vec![rights::SCRIPT.as_bytes(), scripts::MAY.as_bytes(), b"0"];
        for (act, count) in acts.iter().zip(&counts) {
            words.push(count.as_bytes());
            words.extend(act.iter().map(String::as_bytes));
        }
        batch.add(&words);
        // The one that is in use, so that it stays so.
        let database = self.redis.database().to_string();
        batch.add(&[rights::LOGIN[0].as_bytes(), database.as_bytes()]);
        let denied = |reply: &Reply| matches!(reply, Reply::Error(text) if text.starts_with("NOPERM"));
        let mut replies = Replies(self.redis.exchange(&batch).await?.into_iter());
        let mut lacking = Lacking::default();
        for (command, key, _) in rights::READS {
            if denied(&replies.next()) {
                lacking.reads.push(rights::told(command, key));
            }
        }
        match replies.next() {
            reply if denied(&reply) => lacking.acts.push(rights::SCRIPT.to_owned()),
            // One 0 for each that is denied; nothing from a server that cannot be asked.
            Reply::Array(may) => {
                let refused = may.into_iter().zip(rights::ACTS).filter(|(may, _)| *may == Reply::Int(0));
                lacking.acts.extend(refused.map(|(_, (command, key, _))| rights::told(command, key)));
            }
            _ => {}
        }
        if denied(&replies.next()) {
            match database.as_str() {
                "0" => lacking.choice = true,
                number => lacking.reads.push(rights::told(rights::LOGIN[0], number)),
            }
        }
        Ok(lacking)
    }

    async fn ids(&self, prefix: &str, limit: u32) -> Result<(Vec<String>, bool)> {
        let pattern = format!("task:{}*:meta", literal(prefix));
        let mut cursor = b"0".to_vec();
        let (mut out, mut all) = (Vec::new(), false);
        // There is no index: so far and no further, for a shell is waiting.
        for _ in 0..10 {
            let words: [&[u8]; 6] = [b"SCAN", &cursor, b"MATCH", pattern.as_bytes(), b"COUNT", LOOK_AT];
            let (next, keys) = scan::page(self.redis.call(&words).await?)?;
            let texts = keys.into_iter().filter_map(|key| String::from_utf8(key).ok());
            out.extend(texts.filter_map(|key| between(&key, "task:", ":meta").map(str::to_owned)));
            all = next == b"0";
            if all || out.len() >= limit as usize {
                break;
            }
            cursor = next;
        }
        out.sort();
        out.dedup();
        out.truncate(limit as usize);
        Ok((out, all))
    }

    async fn snapshot(&self) -> Result<bool> {
        let mut cursor = b"0".to_vec();
        for _ in 0..5 {
            let mut batch = Batch::of(&[b"EXISTS", STREAM.as_bytes()]);
            batch.add(&[b"SCAN", &cursor, b"MATCH", b"task:*:meta", b"COUNT", LOOK_AT]);
            let mut replies = Replies(self.redis.exchange(&batch).await?.into_iter());
            let stream = replies.next().checked()?.int() == Some(1);
            let (next, keys) = scan::page(replies.next())?;
            if stream || !keys.is_empty() {
                return Ok(true);
            }
            if next == b"0" {
                return Ok(false);
            }
            cursor = next;
        }
        Ok(false)
    }

    async fn look(&self, id: &str) -> Result<Option<Look>> {
        let checkpoint = format!("task:{id}:checkpoint");
        let mut batch = Batch::of(&[b"TIME"]);
        batch.add(&[b"HGETALL", meta_key(id).as_bytes()]);
        batch.add(&[b"GET", checkpoint.as_bytes()]);
        batch.add(&[b"PTTL", checkpoint.as_bytes()]);
        let mut replies = Replies(self.redis.exchange(&batch).await?.into_iter());
        let now = clock(replies.next())?;
        let (mut task, unknown) = match replies.next() {
            Reply::Error(text) if text.starts_with("WRONGTYPE") => {
                (Task::broken(id.to_owned(), "its key holds something else than a hash".into()), Vec::new())
            }
            reply => {
                let mut fields: HashMap<String, String> = pairs(reply)?.into_iter().collect();
                if fields.is_empty() {
                    return Ok(None);
                }
                let values = FIELDS.iter().map(|name| fields.remove(*name)).collect();
                let mut unknown: Vec<String> = fields.into_keys().collect();
                unknown.sort();
                (Task::read(id.to_owned(), values), unknown)
            }
        };
        let (stored, kept) = (replies.next(), replies.next().permitted()?);
        let checkpoint = match stored {
            Reply::Error(text) if text.starts_with("WRONGTYPE") => {
                task.findings.push("its checkpoint's key holds something else than text".into());
                None
            }
            reply => reply.checked()?.text().map(|text| Checkpoint::read(id, text, ttl(&kept))),
        };
        task.nodes = checkpoint.as_ref().map(Checkpoint::node_errors);
        let heartbeat = match &task.owner {
            Some(owner) => self.heartbeats(Some(owner)).await?.1.pop(),
            None => None,
        };
        if task.is_held() {
            task.owner_alive = Some(heartbeat.is_some());
        }
        Ok(Some(Look { task, unknown, checkpoint, heartbeat, now }))
    }

    async fn peek(&self, ids: &[String], depth: Depth) -> Result<(Timestamp, Vec<Option<Task>>)> {
        let count = if depth == Depth::Payloads { FIELDS.len() } else { PLAIN };
        let mut batch = Batch::of(&[b"TIME"]);
        for id in ids {
            scan::ask(&mut batch, meta_key(id).as_bytes(), count);
        }
        let mut replies = Replies(self.redis.exchange(&batch).await?.into_iter());
        let now = clock(replies.next())?;
        let mut tasks = Vec::with_capacity(ids.len());
        for id in ids {
            tasks.push(task(id.clone(), replies.next())?);
        }
        let blank = ids.iter().zip(&tasks).filter(|(_, task)| task.is_none()).map(|(id, _)| id.clone()).collect();
        for there in scan::still_there(&self.redis, blank).await? {
            if let Some(at) = ids.iter().position(|id| *id == there.id) {
                tasks[at] = Some(there);
            }
        }
        scan::Alive::default().fill(&self.redis, tasks.iter_mut().flatten()).await?;
        scan::node_errors(&self.redis, tasks.iter_mut().flatten()).await?;
        Ok((now, tasks))
    }

    async fn effects(&self, ids: &[String]) -> Result<Vec<Effect>> {
        let pattern = match ids {
            [] => return Ok(Vec::new()),
            [id] => format!("effects:{}:*", literal(id)),
            _ => "effects:*".to_owned(),
        };
        let wanted: std::collections::HashSet<&str> = ids.iter().map(String::as_str).collect();
        let mut found: BTreeMap<(String, String), (bool, bool)> = BTreeMap::new();
        self.keys(&pattern, |key| {
            let Some(rest) = key.strip_prefix("effects:") else { return };
            let (name, done) = match (rest.strip_suffix(":result"), rest.strip_suffix(":lock")) {
                (Some(name), _) => (name, true),
                (_, Some(name)) => (name, false),
                _ => return,
            };
            // An id may hold a colon, and so may an effect's name.
            let owner = name.match_indices(':').map(|(at, _)| (&name[..at], &name[at + 1..]));
            if let Some((id, effect)) = owner.clone().find(|(id, _)| wanted.contains(id)) {
                let entry = found.entry((id.to_owned(), effect.to_owned())).or_default();
                *(if done { &mut entry.0 } else { &mut entry.1 }) = true;
            }
        })
        .await?;
        let mut batch = Batch::new();
        for (id, effect) in found.keys() {
            batch.add(&[b"GET", format!("effects:{id}:{effect}:result").as_bytes()]);
            batch.add(&[b"PTTL", format!("effects:{id}:{effect}:lock").as_bytes()]);
        }
        let mut replies = Replies(self.redis.exchange(&batch).await?.into_iter());
        let mut effects = Vec::with_capacity(found.len());
        for (task_id, key) in found.into_keys() {
            let (result, lock) = (replies.next().permitted()?, replies.next().permitted()?);
            // Whatever a result's key holds, its being there is what keeps the effect from being repeated.
            let result = match result {
                Reply::Error(_) => Some("unreadable".into()),
                reply => reply.text(),
            };
            effects.push(Effect { task_id, key, lock_ttl_ms: lock.int().filter(|ttl| *ttl != -2), result });
        }
        Ok(effects)
    }

    async fn tasks(&self, depth: Depth) -> Result<TaskStream> {
        Ok(scan::stream(Arc::clone(&self.redis), depth))
    }

    async fn heartbeats(&self, worker: Option<&str>) -> Result<(Timestamp, Vec<Heartbeat>)> {
        let mut workers = Vec::new();
        match worker {
            Some(worker) => workers.push(worker.to_owned()),
            None => {
                self.keys("worker:*:hb", |key| workers.extend(between(&key, "worker:", ":hb").map(str::to_owned)))
                    .await?;
            }
        }
        workers.sort();
        let mut batch = Batch::of(&[b"TIME"]);
        for worker in &workers {
            batch.add(&[b"GET", beat_key(worker).as_bytes()]);
            batch.add(&[b"PTTL", beat_key(worker).as_bytes()]);
        }
        let mut replies = Replies(self.redis.exchange(&batch).await?.into_iter());
        let now = clock(replies.next())?;
        let mut out = Vec::new();
        for worker in workers {
            let (beat, kept) = (replies.next(), replies.next().permitted()?);
            match beat {
                Reply::Nil => {}
                // The watcher and the claims only ask whether the key is there.
                Reply::Error(text) if text.starts_with("WRONGTYPE") => {
                    out.push(Heartbeat::read(&worker, "", ttl(&kept)))
                }
                reply => out.extend(reply.checked()?.text().map(|text| Heartbeat::read(&worker, &text, ttl(&kept)))),
            }
        }
        Ok((now, out))
    }

    async fn events(&self, task: Option<&str>, limit: Option<u64>) -> Result<Events> {
        let most = limit.unwrap_or(MOST_EVENTS).min(MOST_EVENTS);
        let wanted = usize::try_from(most).unwrap_or(usize::MAX).saturating_add(1);
        let mut events = Vec::new();
        let mut newest = "+".to_owned();
        let mut now = None;
        loop {
            let page = if task.is_some() { PAGE } else { PAGE.min(wanted - events.len()) };
            let mut batch = Batch::of(&[b"TIME"]);
            batch.add(&[
                b"XREVRANGE",
                STREAM.as_bytes(),
                newest.as_bytes(),
                b"-",
                b"COUNT",
                page.to_string().as_bytes(),
            ]);
            let mut replies = Replies(self.redis.exchange(&batch).await?.into_iter());
            now = now.or(Some(clock(replies.next())?));
            let read = entries(replies.next())?;
            let last = read.last().map(|event| event.id);
            let full = read.len() == page;
            events.extend(read.into_iter().filter(|event| task.is_none_or(|task| event.is_about(task))));
            match last {
                Some(last) if full && events.len() < wanted => newest = before(last),
                _ => break,
            }
        }
        let older = events.len() >= wanted;
        events.truncate(wanted - 1);
        events.reverse();
        Ok(Events { events, older, now: now.unwrap_or_else(Timestamp::here) })
    }

    async fn events_since(&self, task: Option<&str>, since: Option<Timestamp>) -> Result<Events> {
        let mut from = since.map_or_else(|| "-".to_owned(), |since| (since.as_micros() / 1000).max(0).to_string());
        let mut events = Vec::new();
        loop {
            let mut batch = Batch::of(&[b"TIME"]);
            let page = PAGE.to_string();
            batch.add(&[b"XRANGE", STREAM.as_bytes(), from.as_bytes(), b"+", b"COUNT", page.as_bytes()]);
            let mut replies = Replies(self.redis.exchange(&batch).await?.into_iter());
            let now = clock(replies.next())?;
            let read = entries(replies.next())?;
            let (full, last) = (read.len() == PAGE, read.last().map(|event| event.id));
            events.extend(read.into_iter().filter(|event| task.is_none_or(|task| event.is_about(task))));
            match last {
                Some((millis, number)) if full => from = format!("{millis}-{}", number + 1),
                _ => return Ok(Events { events, older: false, now }),
            }
        }
    }

    async fn buckets(&self, tenant: Option<&str>) -> Result<(Timestamp, Vec<Bucket>)> {
        let mut tenants = Vec::new();
        match tenant {
            Some(tenant) => tenants.push(tenant.to_owned()),
            None => {
                self.keys("ratelimit:tenant:*", |key| {
                    tenants.extend(key.strip_prefix("ratelimit:tenant:").map(str::to_owned))
                })
                .await?;
            }
        }
        tenants.sort();
        let mut batch = Batch::of(&[b"TIME"]);
        for tenant in &tenants {
            let key = format!("ratelimit:tenant:{tenant}");
            batch.add(&[b"HGETALL", key.as_bytes()]);
            batch.add(&[b"PTTL", key.as_bytes()]);
        }
        let mut replies = Replies(self.redis.exchange(&batch).await?.into_iter());
        let now = clock(replies.next())?;
        let mut out = Vec::new();
        for tenant_id in tenants {
            let (fields, kept) = (replies.next(), replies.next().permitted()?);
            let mut findings = Vec::new();
            let fields = match fields {
                Reply::Error(text) if text.starts_with("WRONGTYPE") => {
                    findings.push("its key holds something else than a hash".to_owned());
                    BTreeMap::new()
                }
                reply => pairs(reply)?.into_iter().collect(),
            };
            out.push(Bucket { tenant_id, fields, ttl_ms: ttl(&kept), findings });
        }
        Ok((now, out))
    }

    async fn recorded_costs(&self) -> Result<Vec<(String, String, BTreeMap<String, String>)>> {
        let mut keys = Vec::new();
        self.keys("cost:tenant:*", |key| keys.push(key)).await?;
        keys.sort();
        let mut batch = Batch::new();
        keys.iter().for_each(|key| batch.add(&[b"HGETALL", key.as_bytes()]));
        let mut replies = Replies(self.redis.exchange(&batch).await?.into_iter());
        let mut out = Vec::new();
        for key in keys {
            let reply = replies.next().permitted()?;
            let named = key.strip_prefix("cost:tenant:").and_then(|rest| rest.rsplit_once(':'));
            if let (Some((tenant, day)), Ok(fields)) = (named, pairs(reply)) {
                out.push((tenant.to_owned(), day.to_owned(), fields.into_iter().collect()));
            }
        }
        Ok(out)
    }

    async fn act(&self, act: &Act, permit: &WritePermit) -> Result<Acted> {
        let missing = || Err(Error::new(ErrorKind::Internal, "the outcome of a change is missing"));
        self.change(std::slice::from_ref(act), permit).await.pop().unwrap_or_else(missing)
    }

    async fn act_all(&self, acts: &[Act], permit: &WritePermit) -> Vec<Result<Acted>> {
        self.change(acts, permit).await
    }

    async fn hashes(&self, ids: &[String]) -> Result<Vec<Vec<(String, String)>>> {
        let mut batch = Batch::new();
        for id in ids {
            batch.add(&[b"HGETALL", meta_key(id).as_bytes()]);
        }
        let replies = if ids.is_empty() { Vec::new() } else { self.redis.exchange(&batch).await? };
        // What is no hash any more has none of its fields.
        replies.into_iter().map(|reply| Ok(pairs(reply).unwrap_or_default())).collect()
    }

    async fn put_back(&self, restored: &Restored<'_>, permit: &WritePermit) -> Result<bool> {
        self.give_back(restored, permit).await
    }

    async fn submit(&self, task: &NewTask, permit: &WritePermit) -> Result<bool> {
        self.create(task, permit).await
    }

    async fn set_bucket(&self, tenant: &str, fill: Option<(f64, Option<f64>)>, permit: &WritePermit) -> Result<bool> {
        self.fill_bucket(tenant, fill, permit).await
    }
}
