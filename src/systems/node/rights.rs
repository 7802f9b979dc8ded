//! What a Redis user needs for agent tasks: the rule of its access list, and what is tried to learn what it lacks. Pure.

use std::fmt::Write as _;

use sen_model::diagnostics::{Check, Role};
use sen_model::error::{Error, Result};
use sen_model::verdict::Severity;

/// The keys, as patterns of an access list.
const KEYS: [&str; 6] = ["task:*", "worker:*:hb", "effects:*", "ratelimit:tenant:*", "cost:tenant:*", "stream:events"];

/// What reading needs beside [`READS`]: to choose a database.
pub(super) const LOGIN: [&str; 1] = ["SELECT"];

/// Commands that read, each with a key it is used on (`*` stands for any name) and what else it takes.
pub(super) const READS: [(&str, &str, &[&str]); 18] = [
    ("DBSIZE", "", &[]),
    ("EXISTS", "worker:*:hb", &[]),
    ("EXISTS", "stream:events", &[]),
    ("GET", "task:*:checkpoint", &[]),
    ("GET", "worker:*:hb", &[]),
    ("GET", "effects:*", &[]),
    ("HGETALL", "task:*:meta", &[]),
    ("HGETALL", "ratelimit:tenant:*", &[]),
    ("HGETALL", "cost:tenant:*", &[]),
    ("HMGET", "task:*:meta", &["status"]),
    ("INFO", "", &["server"]),
    ("PTTL", "task:*:checkpoint", &[]),
    ("SCAN", "", &["0", "COUNT", "1"]),
    ("STRLEN", "task:*:checkpoint", &[]),
    ("TIME", "", &[]),
    ("XLEN", "stream:events", &[]),
    ("XRANGE", "stream:events", &["0", "0", "COUNT", "1"]),
    ("XREVRANGE", "stream:events", &["0", "0", "COUNT", "1"]),
];

/// Commands that the scripts of the acts run, in the same way.
pub(super) const ACTS: [(&str, &str, &[&str]); 7] = [
    ("DEL", "ratelimit:tenant:*", &[]),
    ("EXPIRE", "ratelimit:tenant:*", &["1"]),
    ("HDEL", "task:*:meta", &["f"]),
    ("HSET", "ratelimit:tenant:*", &["f", "v"]),
    ("HSET", "task:*:meta", &["f", "v"]),
    ("TYPE", "task:*:meta", &[]),
    ("XADD", "stream:events", &["*", "f", "v"]),
];

/// What runs the scripts.
pub(super) const SCRIPT: &str = "EVAL";

/// What a user lacks, each as `COMMAND` or `COMMAND key`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lacking {
    /// Of reading.
    pub reads: Vec<String>,
    /// Of acting, as far as the server tells: before Redis 7 it is asked for the scripts alone.
    pub acts: Vec<String>,
    /// Choosing a database: what is asked of any but the first one, where it is not missed.
    pub choice: bool,
}

/// A command with the key of a task, worker or tenant that nobody has.
#[cfg(feature = "redis")]
pub(super) fn tried(command: &str, key: &str, rest: &[&str]) -> Vec<String> {
    let key = key.replace('*', "sen-doctor");
    let words = [command, &key].into_iter().chain(rest.iter().copied());
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// A command as it is told.
#[cfg(feature = "redis")]
pub(super) fn told(command: &str, key: &str) -> String {
    format!("{command} {key}").trim_end().to_owned()
}

/// Judges what is lacking.
pub(super) fn checks(lacking: &Lacking) -> Vec<Check> {
    let mut checks = Vec::new();
    if !lacking.reads.is_empty() {
        let text = format!("this Redis user may not run {}", lacking.reads.join(", "));
        checks.push(
            Check::new(Severity::Critical, "privileges", text)
                .with_remedy("sen grants --role ro   # with this Redis as DATABASE_URL"),
        );
    }
    if !lacking.acts.is_empty() {
        // A user that only reads is a good thing to have: no reason to worry.
        let text = format!("this Redis user may not act: it lacks {}", lacking.acts.join(", "));
        checks.push(
            Check::new(Severity::Ok, "privileges", text)
                .with_remedy("sen grants --role operator   # with this Redis as DATABASE_URL"),
        );
    }
    if checks.is_empty() {
        let text = "this Redis user may read and act on everything here";
        checks.push(Check::new(Severity::Ok, "privileges", text));
    }
    if lacking.choice {
        let text = "this Redis user may not run SELECT: it works in database 0 alone";
        checks.push(
            Check::new(Severity::Ok, "privileges", text)
                .with_remedy("sen grants --role ro   # with this Redis as DATABASE_URL"),
        );
    }
    checks
}

/// The rule that gives `user` the least rights for `role`, as a command of Redis. Passwords of the user stay as they are.
///
/// # Errors
/// `Usage` for a name that would be more than one word.
pub fn rule(role: Role, user: &str) -> Result<String> {
    if user.is_empty() || !user.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\')) {
        return Err(Error::usage("a Redis user is named by one word without quotes"));
    }
    let mut out = format!("ACL SETUSER {user} on resetkeys");
    for key in KEYS {
        let _ = write!(out, " ~{key}");
    }
    out += " -@all";
    let reading = LOGIN.into_iter().chain(READS.iter().map(|(command, ..)| *command));
    let acting = std::iter::once(SCRIPT).chain(ACTS.iter().map(|(command, ..)| *command));
    let mut commands: Vec<String> =
        reading.chain(acting.filter(|_| role == Role::Operator)).map(str::to_ascii_lowercase).collect();
    commands.sort_unstable();
    commands.dedup();
    for command in commands {
        let _ = write!(out, " +{command}");
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_the_least() {
        let reader = rule(Role::ReadOnly, "viewer").unwrap();
        assert_eq!(
            reader,
            "ACL SETUSER viewer on resetkeys ~task:* ~worker:*:hb ~effects:* ~ratelimit:tenant:* ~cost:tenant:* ~stream:events \
             -@all +dbsize +exists +get +hgetall +hmget +info +pttl +scan +select +strlen +time +xlen +xrange +xrevrange"
        );
        let operator = rule(Role::Operator, "ops").unwrap();
        for word in ["+del", "+eval", "+expire", "+hdel", "+hset", "+type", "+xadd"] {
            assert!(operator.contains(word) && !reader.contains(word), "{word}");
        }
        for odd in ["", "a b", "a\nb", "a'b", "é"] {
            assert!(rule(Role::ReadOnly, odd).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn what_is_lacking_is_named() {
        let lacking = Lacking { reads: vec!["GET worker:*:hb".into()], acts: vec!["EVAL".into()], choice: true };
        let checks = checks(&lacking);
        assert!(checks[2].text.contains("may not run SELECT"));
        assert!(checks[0].severity == Severity::Critical && checks[0].text.contains("GET worker:*:hb"));
        assert!(checks[1].severity == Severity::Ok && checks[1].text.contains("EVAL"));
        assert_eq!(super::checks(&Lacking::default()).len(), 1);
        assert_eq!(tried("HMGET", "task:*:meta", &["status"]), ["HMGET", "task:sen-doctor:meta", "status"]);
        assert_eq!(tried("TIME", "", &[]), ["TIME"]);
    }
}
