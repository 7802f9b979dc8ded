//! Ids by their beginning, as git and docker take them: whoever reads `77420000-c4…` in a list types `7742`. What was copied from
//! a list as it stands there, `77420000-c4…0001` with its middle left out, is taken as a beginning and an end, of keys, too.

use futures_util::future::join_all;

use crate::registry::Database;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::subject::Kind;
use sen_model::system::System;
use sen_model::text::named;

/// Fewer characters are no prefix but a slip.
const SHORTEST: usize = 4;
/// How many ids are named where several begin so.
const NAMED: u32 = 6;

/// How many ids with the same beginning are compared with an end.
const COMPARED: u32 = 1000;

/// Everything that has an id of its own making, and keys.
pub const ANY: &[Kind] = &Kind::RECORDS;
/// What dead letters are in the systems that keep them.
pub const DEAD_LETTERS: &[Kind] = &[Kind::DeadLetter, Kind::Outbox, Kind::Inbox, Kind::AgentTask];

/// Whether an id is whole by its form: a UUID, or an agent task's.
fn is_whole(id: &str) -> bool {
    let digits = id.strip_prefix("task_").filter(|rest| rest.len() == 12);
    let digits = digits.map_or_else(|| id.replace('-', ""), str::to_owned);
    matches!((id.len(), digits.len()), (32 | 36, 32) | (17, 12)) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What was given of an id: its beginning, and where its middle was left out its end.
struct Part<'a> {
    begin: &'a str,
    end: Option<&'a str>,
}

impl<'a> Part<'a> {
    /// `None` for what is whole, or too short to be more than a slip.
    fn of(given: &'a str) -> Option<Self> {
        let part = match given.split_once('…') {
            Some((begin, end)) => Self { begin, end: Some(end) },
            None => Self { begin: given, end: None },
        };
        let end = part.end.unwrap_or_default();
        let fits = !part.begin.is_empty() && part.begin.len() + end.len() >= SHORTEST && !end.contains('…');
        (fits && !is_whole(given)).then_some(part)
    }

    /// A key is named by its operator, who may have named another so that it begins alike: only what was left out of it is filled in.
    fn may_be(&self, kind: Kind) -> bool {
        kind != Kind::Lease || self.end.is_some()
    }

    fn is_of(&self, id: &str) -> bool {
        let rest = id.strip_prefix(self.begin);
        rest.is_some_and(|rest| self.end.is_none_or(|end| rest.ends_with(end)))
    }
}

/// The one id of these kinds of which `prefix` is the beginning, or beginning and end; `None` where there is none, or where it is
/// whole. `only` is a system's name.
///
/// # Errors
/// `Usage` naming them where there are several; what the stores report.
pub async fn resolve(database: &Database, only: Option<&str>, kinds: &[Kind], prefix: &str) -> Result<Option<String>> {
    let Some(part) = Part::of(prefix) else { return Ok(None) };
    let kinds: Vec<Kind> = kinds.iter().copied().filter(|kind| part.may_be(*kind)).collect();
    if kinds.is_empty() {
        return Ok(None);
    }
    let systems: Vec<_> = database.systems().filter(|system| only.is_none_or(|only| system.name() == only)).collect();
    let answers = database.together(join_all(systems.iter().map(|system| of(*system, &kinds, &part)))).await;
    let mut found: Vec<(String, Kind)> = Vec::new();
    for (system, answer) in systems.iter().zip(answers) {
        match database.seen(system.name(), answer) {
            Ok(these) => found.extend(these.into_iter().flatten()),
            Err(error) if error.kind() == ErrorKind::NoSystem => {}
            Err(error) => return Err(error),
        }
    }
    found.sort_by(|left, right| left.0.cmp(&right.0));
    // A dead letter has the id of its task.
    found.dedup_by(|left, right| left.0 == right.0);
    match found.as_slice() {
        [] => Ok(None),
        [(id, _)] if id == prefix => Ok(None),
        [(id, _)] => Ok(Some(id.clone())),
        several => Err(ambiguous(prefix, several)),
    }
}

fn ambiguous(prefix: &str, several: &[(String, Kind)]) -> Error {
    let most = NAMED as usize;
    let these: Vec<String> =
        several.iter().take(most - 1).map(|(id, kind)| format!("{id} ({})", kind.words())).collect();
    let more = if several.len() >= most { ", …" } else { "" };
    let verb = if prefix.contains('…') { "match" } else { "begin with" };
    Error::usage(format!("several ids {verb} {}", named(prefix)))
        .with_hint(format!("give more of it: {}{more}", these.join(", ")))
}

async fn of(system: &dyn System, kinds: &[Kind], part: &Part<'_>) -> Result<Vec<(String, Kind)>> {
    let mut all = Vec::new();
    let limit = if part.end.is_some() { COMPARED } else { NAMED };
    for (kind, ids) in
        kinds.iter().zip(join_all(kinds.iter().map(|kind| system.begin_with(*kind, part.begin, limit))).await)
    {
        let ids = ids?;
        if part.end.is_some() && ids.len() >= limit as usize {
            return Err(Error::usage(format!("more than {limit} ids begin with {}", named(part.begin)))
                .with_hint("give more of the beginning"));
        }
        all.extend(ids.into_iter().filter(|id| part.is_of(id)).map(|id| (id, *kind)));
    }
    Ok(all)
}

/// The ids with those that are the beginning of one made whole, and whether any was. What has such an id or key itself is meant
/// rather than what begins so.
///
/// # Errors
/// As [`resolve`].
pub async fn whole(
    database: &Database,
    only: Option<&str>,
    kinds: &[Kind],
    mut ids: Vec<String>,
) -> Result<(Vec<String>, bool)> {
    let mut any = false;
    for id in &mut ids {
        let known = match resolve(database, only, kinds, id).await {
            Ok(None) => continue,
            known => known,
        };
        if !exists(database, only, id).await?
            && let Some(whole) = known?
        {
            *id = whole;
            any = true;
        }
    }
    Ok((ids, any))
}

async fn exists(database: &Database, only: Option<&str>, id: &str) -> Result<bool> {
    for system in database.systems().filter(|system| only.is_none_or(|only| system.name() == only)) {
        match system.find(id, 0).await {
            Ok(found) if found.is_empty() => {}
            Ok(_) => return Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::NoSystem | ErrorKind::Denied) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_ids_are_told_by_their_form() {
        for id in ["77420000-c4a6-4000-8000-000000000001", "77420000c4a640008000000000000001", "task_7957eed7bf74"] {
            assert!(is_whole(id), "{id}");
        }
        for id in ["7742", "77420000-c4a6-4000-8000-00000000000", "task_7957", "order-7731", "task_7957eed7bf7g"] {
            assert!(!is_whole(id), "{id}");
        }
    }

    #[test]
    fn what_a_list_left_out_is_a_beginning_and_an_end() {
        let id = "77420000-c4a6-4000-8000-000000000001";
        for (given, fits) in
            [("7742…01", true), ("77420000-c4…", true), ("7742…02", false), (id, false), ("7742", true)]
        {
            assert_eq!(Part::of(given).is_some_and(|part| part.is_of(id)), fits, "{given}");
        }
        for slip in ["…0001", "77…1", "77…4…00", "774"] {
            assert!(Part::of(slip).is_none(), "{slip}");
        }
        assert!(!Part::of("7742").is_some_and(|part| part.may_be(Kind::Lease)));
        // Both parts are there, one behind the other.
        assert!(!Part::of("order-77…-7731").is_some_and(|part| part.is_of("order-7731")));
    }
}
