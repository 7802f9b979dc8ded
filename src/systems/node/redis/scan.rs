//! The walk over all tasks: SCAN, with the hashes of one page read while the next page is looked for. Memory stays flat
//! whatever the number of tasks and the size of each.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;

use futures_util::stream;

use super::super::checkpoint::Checkpoint;
use super::super::port::{Depth, TaskStream, Tasks};
use super::super::record::{FIELDS, PLAIN, Status, Task};
use super::decode::{LOOK_AT, Replies, beat_key, between, clock, meta_key, task, ttl};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::time::Timestamp;
use sen_stores::redis::{Batch, Redis, Reply};

/// No exchange reads more tasks.
const MOST: usize = 500;
/// How much an exchange should bring.
const BYTES: usize = 512 << 10;
/// More keys than these are not remembered: 5 MiB.
const REMEMBERED: usize = 400_000;

/// Remembers keys by a hash of each, so that one that SCAN returns twice (it may, while the server resizes its table)
/// counts once. Past a bound nothing more is remembered: memory must stay flat.
#[derive(Default)]
pub(super) struct Once(HashSet<u64>);

impl Once {
    /// Whether this key comes for the first time.
    pub(super) fn first(&mut self, key: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let mark = hasher.finish();
        if self.0.len() < REMEMBERED { self.0.insert(mark) } else { !self.0.contains(&mark) }
    }
}

/// The cursor and the keys that SCAN gave.
pub(super) fn page(reply: Reply) -> Result<(Vec<u8>, Vec<Vec<u8>>)> {
    let mut parts = Replies(reply.array()?.into_iter());
    let bytes = |reply: Reply| if let Reply::Bulk(bytes) = reply { Some(bytes) } else { None };
    let cursor = bytes(parts.next()).unwrap_or_else(|| b"0".to_vec());
    Ok((cursor, parts.next().array()?.into_iter().filter_map(bytes).collect()))
}

/// Counts the pages of a walk, so that one without end is given up. A page of SCAN covers hundreds of places in the
/// server's table, and a table has at most some tens of times as many places as keys.
#[derive(Default)]
pub(super) struct Pages {
    seen: u64,
    allowed: u64,
}

impl Pages {
    const FIRST: u64 = 1000;

    /// One more page. The number of keys is asked only when there were many, and again before giving up, because it may
    /// have grown.
    pub(super) async fn next(&mut self, redis: &Redis) -> Result<()> {
        self.seen += 1;
        if self.seen <= self.allowed.max(Self::FIRST) {
            return Ok(());
        }
        let keys = redis.call(&[b"DBSIZE"]).await?.int().and_then(|keys| u64::try_from(keys).ok()).unwrap_or(0);
        self.allowed = Self::FIRST.saturating_add(keys / 10);
        if self.seen <= self.allowed {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Unreadable,
            format!("the server's SCAN does not end: {} pages of a database with {keys} keys", self.seen),
        )
        .with_hint("is it a proxy that does not support SCAN?"))
    }
}

/// Asks for the first `count` fields of a task.
pub(super) fn ask(batch: &mut Batch, key: &[u8], count: usize) {
    let mut words: Vec<&[u8]> = Vec::with_capacity(count + 2);
    words.extend([&b"HMGET"[..], key]);
    words.extend(FIELDS[..count].iter().map(|name| name.as_bytes()));
    batch.add(&words);
}

/// Which workers have a heartbeat, asked once each.
#[derive(Default)]
pub(super) struct Alive(HashMap<String, bool>);

impl Alive {
    /// Says of every held task whether its owner's heartbeat is there.
    pub(super) async fn fill<'a>(&mut self, redis: &Redis, tasks: impl Iterator<Item = &'a mut Task>) -> Result<()> {
        let held: Vec<&mut Task> = tasks.filter(|task| task.is_held() && task.owner.is_some()).collect();
        let mut asked: Vec<String> = Vec::new();
        for owner in held.iter().filter_map(|task| task.owner.as_ref()) {
            if !self.0.contains_key(owner) {
                self.0.insert(owner.clone(), false);
                asked.push(owner.clone());
            }
        }
        if !asked.is_empty() {
            let mut batch = Batch::new();
            asked.iter().for_each(|owner| batch.add(&[b"EXISTS", beat_key(owner).as_bytes()]));
            let replies = redis.exchange(&batch).await?;
            for (owner, reply) in asked.into_iter().zip(replies) {
                self.0.insert(owner, reply.checked()?.int() == Some(1));
            }
        }
        for task in held {
            task.owner_alive = task.owner.as_ref().and_then(|owner| self.0.get(owner)).copied();
        }
        Ok(())
    }
}

/// The tasks among these whose hash is there and holds nothing that is known; the others are gone since they were seen.
pub(super) async fn still_there(redis: &Redis, ids: Vec<String>) -> Result<Vec<Task>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut batch = Batch::new();
    ids.iter().for_each(|id| batch.add(&[b"EXISTS", meta_key(id).as_bytes()]));
    let replies = redis.exchange(&batch).await?;
    let there = ids.into_iter().zip(replies).filter(|(_, reply)| reply.int() == Some(1));
    Ok(there.map(|(id, _)| Task::read(id, Vec::new())).collect())
}

struct Walk {
    redis: Arc<Redis>,
    depth: Depth,
    /// Where SCAN goes on; `None` at its end.
    cursor: Option<Vec<u8>>,
    keys: VecDeque<Vec<u8>>,
    once: Once,
    pages: Pages,
    alive: Alive,
    /// How many tasks the next exchange reads.
    size: usize,
    now: Option<Timestamp>,
}

/// All tasks.
pub(super) fn stream(redis: Arc<Redis>, depth: Depth) -> TaskStream {
    let walk = Walk {
        redis,
        depth,
        cursor: Some(b"0".to_vec()),
        keys: VecDeque::new(),
        once: Once::default(),
        pages: Pages::default(),
        alive: Alive::default(),
        size: 64,
        now: None,
    };
    Box::pin(stream::try_unfold(walk, |mut walk| async move { Ok(walk.next().await?.map(|tasks| (tasks, walk))) }))
}

impl Walk {
    /// The next tasks; `None` at the end. The first part comes even when there are none, for the clock in it.
    async fn next(&mut self) -> Result<Option<Tasks>> {
        loop {
            if self.keys.is_empty() && self.cursor.is_none() {
                return Ok(None);
            }
            let first = self.now.is_none();
            let (now, tasks, checkpoints) = self.step().await?;
            if !tasks.is_empty() || first {
                return Ok(Some(Tasks { now, tasks, checkpoints }));
            }
        }
    }

    /// One exchange: the hashes of the keys at hand and, when these run out, the next keys.
    async fn step(&mut self) -> Result<(Timestamp, Vec<Task>, Vec<Option<Checkpoint>>)> {
        let count = if self.depth == Depth::Payloads { FIELDS.len() } else { PLAIN };
        let taken: Vec<Vec<u8>> = self.keys.drain(..self.size.min(self.keys.len())).collect();
        let mut batch = Batch::new();
        if self.now.is_none() {
            batch.add(&[b"TIME"]);
        }
        for key in &taken {
            ask(&mut batch, key, count);
        }
        let scanned = if self.keys.len() < self.size { self.cursor.take() } else { None };
        if let Some(cursor) = &scanned {
            batch.add(&[b"SCAN", cursor, b"MATCH", b"task:*:meta", b"COUNT", LOOK_AT]);
        }
        let mut replies = Replies(self.redis.exchange(&batch).await?.into_iter());
        let now = match self.now {
            Some(now) => now,
            None => *self.now.insert(clock(replies.next())?),
        };
        let mut tasks = Vec::with_capacity(taken.len());
        let mut blank = Vec::new();
        let mut bytes = 0;
        for key in &taken {
            let reply = replies.next();
            bytes += weight(&reply);
            let key = String::from_utf8_lossy(key);
            let Some(id) = between(&key, "task:", ":meta") else { continue };
            match task(id.to_owned(), reply)? {
                Some(task) => tasks.push(task),
                None => blank.push(id.to_owned()),
            }
        }
        if scanned.is_some() {
            self.pages.next(&self.redis).await?;
            let (cursor, keys) = page(replies.next())?;
            self.cursor = Some(cursor).filter(|cursor| cursor != b"0");
            self.keys.extend(keys.into_iter().filter(|key| self.once.first(key)));
        }
        if !taken.is_empty() {
            let fits = BYTES / (bytes / taken.len()).max(1);
            self.size = fits.clamp(4, MOST).min(self.size * 4);
        }
        tasks.extend(still_there(&self.redis, blank).await?);
        self.alive.fill(&self.redis, tasks.iter_mut()).await?;
        let checkpoints = if self.depth == Depth::Checkpoints {
            let read = checkpoints(
                &self.redis,
                &tasks,
                |_| true,
                |id, text, kept| {
                    let mut read = Checkpoint::read(id, text, kept);
                    // Only what it costs is asked for; the whole of it would add up.
                    read.text = String::new();
                    let errors = read.node_errors();
                    read.nodes = Vec::new();
                    (read, errors)
                },
            )
            .await?;
            for (task, read) in tasks.iter_mut().zip(&read) {
                task.nodes = read.as_ref().map(|(_, errors)| *errors);
            }
            read.into_iter().map(|read| read.map(|(read, _)| read)).collect()
        } else {
            node_errors(&self.redis, tasks.iter_mut()).await?;
            Vec::new()
        };
        Ok((now, tasks, checkpoints))
    }
}

/// What `make` makes of the checkpoints of those of these tasks that are `wanted`, read so many at a time as fit into the
/// bound.
async fn checkpoints<T>(
    redis: &Redis,
    tasks: &[Task],
    wanted: impl Fn(&Task) -> bool,
    make: impl Fn(&str, String, Option<i64>) -> T,
) -> Result<Vec<Option<T>>> {
    let key = |task: &Task| format!("task:{}:checkpoint", task.id);
    let mut out: Vec<Option<T>> = tasks.iter().map(|_| None).collect();
    let asked: Vec<usize> = (0..tasks.len()).filter(|at| wanted(&tasks[*at])).collect();
    let mut sizes = Batch::new();
    asked.iter().for_each(|at| sizes.add(&[b"STRLEN", key(&tasks[*at]).as_bytes()]));
    let sizes = if asked.is_empty() { Vec::new() } else { redis.exchange(&sizes).await? };
    let mut there: Vec<(usize, i64)> = Vec::with_capacity(asked.len());
    for (at, size) in asked.into_iter().zip(sizes) {
        there.extend(size.permitted()?.int().filter(|size| *size > 0).map(|size| (at, size)));
    }
    let (mut batch, mut under_way, mut bytes) = (Batch::new(), Vec::new(), 0);
    for (place, (at, size)) in there.iter().enumerate() {
        batch.add(&[b"GET", key(&tasks[*at]).as_bytes()]);
        batch.add(&[b"PTTL", key(&tasks[*at]).as_bytes()]);
        under_way.push(*at);
        bytes += usize::try_from(*size).unwrap_or(0);
        if bytes >= BYTES || place + 1 == there.len() {
            let mut replies = Replies(redis.exchange(&std::mem::take(&mut batch)).await?.into_iter());
            for at in under_way.drain(..) {
                let (text, kept) = (replies.next().permitted()?, replies.next().permitted()?);
                out[at] = text.text().map(|text| make(&tasks[at].id, text, ttl(&kept)));
            }
            bytes = 0;
        }
    }
    Ok(out)
}

/// Says of every completed task how many of its nodes failed: its status does not tell.
pub(super) async fn node_errors<'a>(redis: &Redis, tasks: impl Iterator<Item = &'a mut Task>) -> Result<()> {
    let mut completed: Vec<&mut Task> = tasks.filter(|task| task.status == Some(Status::Completed)).collect();
    let named: Vec<Task> = completed.iter().map(|task| Task::read(task.id.clone(), Vec::new())).collect();
    let read = checkpoints(redis, &named, |_| true, |_, text, _| count_errors(&text)).await?;
    for (task, errors) in completed.iter_mut().zip(read) {
        task.nodes = errors.flatten();
    }
    Ok(())
}

/// How many nodes of a checkpoint have an error, and of how many; `None` where that cannot be read. Most have none, which
/// is told without reading all of it.
fn count_errors(text: &str) -> Option<(usize, usize)> {
    #[derive(serde::Deserialize)]
    struct Stored {
        node_states: HashMap<String, State>,
    }
    #[derive(serde::Deserialize)]
    struct State {
        error: Option<serde::de::IgnoredAny>,
    }
    if !text.contains("\"error\":\"") && !text.contains("\"error\": \"") {
        return None;
    }
    let stored: Stored = serde_json::from_str(text).ok()?;
    let failed = stored.node_states.values().filter(|state| state.error.is_some()).count();
    Some((failed, stored.node_states.len()))
}

/// About how many bytes a reply holds.
fn weight(reply: &Reply) -> usize {
    match reply {
        Reply::Bulk(bytes) => bytes.len() + 8,
        Reply::Array(items) => items.iter().map(weight).sum(),
        _ => 8,
    }
}
