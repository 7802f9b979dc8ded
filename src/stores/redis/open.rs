//! The way to a connection that can be used: asking the sentinels, a program that prints the password, attempts and their time.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::replica;
use super::resp::{Batch, Reply};
use super::wire::{LONGEST_OF_LOGIN, Place, Wire, before};
use crate::password::Purpose;
use crate::url::{RedisInfo, RedisPlace, Sentinels, shown};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::time::Uptime;

/// Connects, encrypts and logs in within the time the settings allow, and tries again for as long as they say.
pub(super) async fn open(info: &RedisInfo) -> Result<Wire> {
    let end = Uptime::now().plus(info.connect_retry);
    loop {
        match once(info).await {
            // A server that refused the log-in will refuse it again.
            Err((_, true)) if !Uptime::now().until(end).is_zero() => {
                tokio::time::sleep(Duration::from_millis(250).min(Uptime::now().until(end))).await;
            }
            answer => return answer.map_err(|(error, _)| error),
        }
    }
}

/// The error with whether another attempt can go otherwise.
async fn once(info: &RedisInfo) -> Result<Wire, (Error, bool)> {
    reach_and_log_in(info).await.map_err(|error| match error.kind() {
        ErrorKind::Usage => (error, false),
        kind => {
            let judged = ["(NOAUTH", "(WRONGPASS", "(ERR"].iter().any(|code| error.to_string().contains(code));
            let passing =
                matches!(kind, ErrorKind::Connect | ErrorKind::Disconnected | ErrorKind::Timeout | ErrorKind::Pending)
                    && !judged;
            (
                error.with_kind(ErrorKind::Connect).with_context(format!("cannot connect to {}", info.describe())),
                passing,
            )
        }
    })
}

async fn reach_and_log_in(info: &RedisInfo) -> Result<Wire> {
    info.refuse_user_alone()?;
    let found;
    let place = match &info.place {
        RedisPlace::Socket(path) => Place::Socket(path),
        RedisPlace::Host(host, port) => Place::Host(host, *port),
        RedisPlace::Sentinels(sentinels) => {
            found = primary(info, sentinels).await?;
            Place::Host(&found.host, found.port)
        }
    };
    let mut deadline = Instant::now() + info.connect_timeout;
    let mut wire = before(deadline, info, Wire::reach(&place, info.tls.as_ref())).await?;
    let password = match &info.password_command {
        None => info.password.clone(),
        Some(command) => {
            // Run when somebody answers, and in its own time.
            let begun = Instant::now();
            let (host, port) = match place {
                Place::Socket(path) => (path.display().to_string(), 0),
                Place::Host(host, port) => (host.to_owned(), port),
            };
            let (user, database) = (info.user.clone().unwrap_or_default(), info.db.to_string());
            let password = command.ask(Purpose { host, port, user, database }).await?;
            deadline += begun.elapsed();
            Some(password)
        }
    };
    before(deadline, info, wire.log_in(info, password.as_ref())).await?;
    if matches!(info.place, RedisPlace::Sentinels(_)) {
        refuse_replica(wire.role(), wire.server())?;
    }
    if info.prefer_replica {
        return replica::preferred(info, wire, password.as_ref()).await;
    }
    Ok(wire)
}

/// What the sentinels know may be old: the server itself has the last word on what it is.
fn refuse_replica(role: Option<&str>, server: &str) -> Result<()> {
    match role {
        Some("master") => Ok(()),
        Some(_) => Err(Error::new(
            ErrorKind::Connect,
            format!("the sentinels name {server} as the primary, and it is a replica: a failover is under way"),
        )
        .with_hint("--connect-retry 60s waits for its end")),
        None => Err(Error::usage(format!("{server} does not tell whether it is a primary"))
            .with_hint("let this Redis user run ROLE or HELLO: an act must not go to a replica")),
    }
}

/// What a sentinel says of where the primary is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Primary {
    host: String,
    port: u16,
    /// Grows with every failover: of two answers the one with the higher is the newer.
    epoch: i64,
}

/// Asks all sentinels at once. What most of them say counts as soon as they have said it; where fewer answer, or they do not
/// agree, the newest answer does.
async fn primary(info: &RedisInfo, sentinels: &Sentinels) -> Result<Primary> {
    let mut asked: FuturesUnordered<_> = sentinels
        .hosts
        .iter()
        .map(async |(host, port)| {
            let deadline = Instant::now() + info.connect_timeout;
            let answer = before(deadline, info, ask(info, sentinels, host, *port)).await;
            answer.map_err(|error| (shown(host, *port), error))
        })
        .collect();
    let (mut answers, mut failures) = (Vec::<Primary>::new(), Vec::new());
    while let Some(answer) = asked.next().await {
        match answer {
            Ok(primary) => {
                answers.push(primary);
                if let Some(agreed) = agreed(&answers, sentinels.hosts.len()) {
                    return Ok(agreed);
                }
            }
            Err(failure) => failures.push(failure),
        }
    }
    if let Some(newest) = answers.into_iter().max_by_key(|primary| primary.epoch) {
        return Ok(newest);
    }
    let said: Vec<String> = failures.iter().map(|(place, error)| format!("{place}: {error}")).collect();
    let message = format!("no sentinel says where the primary {:?} is: {}", sentinels.name, said.join("; "));
    // One that cannot help for good says more than one that is away.
    let last = failures.iter().position(|(_, error)| error.kind() == ErrorKind::Usage).unwrap_or(0);
    let Some((_, error)) = failures.into_iter().nth(last) else { return Err(Error::usage(message)) };
    let told = Error::new(error.kind(), message);
    Err(match error.hint() {
        Some(hint) => told.with_hint(hint.to_owned()),
        None => told,
    })
}

/// What more than half of all sentinels say.
fn agreed(answers: &[Primary], all: usize) -> Option<Primary> {
    let same = |one: &&Primary| {
        let agree = answers.iter().filter(|other| (&other.host, other.port) == (&one.host, one.port));
        agree.count() * 2 > all
    };
    answers.iter().filter(same).max_by_key(|primary| primary.epoch).cloned()
}

async fn ask(info: &RedisInfo, sentinels: &Sentinels, host: &str, port: u16) -> Result<Primary> {
    let mut wire = Wire::reach(&Place::Host(host, port), info.tls.as_ref()).await?;
    let mut batch = Batch::new();
    if let Some(password) = &sentinels.password {
        match &sentinels.user {
            Some(user) => batch.add(&[b"AUTH", user.as_bytes(), password.reveal().as_bytes()]),
            None => batch.add(&[b"AUTH", password.reveal().as_bytes()]),
        }
    }
    batch.add(&[b"SENTINEL", b"MASTER", sentinels.name.as_bytes()]);
    let mut replies = wire.exchange_of(&batch, LONGEST_OF_LOGIN).await?.into_iter();
    if sentinels.password.is_some() {
        replies.next().unwrap_or(Reply::Nil).checked().map_err(|error| wrong_password(&error))?;
    }
    let reply = match replies.next().unwrap_or(Reply::Nil) {
        Reply::Error(text) if text.contains("No such master") => {
            return Err(Error::usage("it watches over no primary of that name"));
        }
        Reply::Error(text) if text.contains("unknown command") => {
            return Err(Error::usage("it is no sentinel").with_hint("a Redis itself is named with redis://host:port"));
        }
        Reply::Error(text) if text.starts_with("NOAUTH") => {
            return Err(Error::usage("it wants a password").with_hint(PASSWORD));
        }
        reply => reply.array()?,
    };
    named(reply).ok_or_else(|| Error::new(ErrorKind::Unreadable, "it does not say where the primary is"))
}

const PASSWORD: &str = "sentinels have passwords of their own: …/name/0?sentinel_password=…";

fn wrong_password(error: &Error) -> Error {
    Error::usage(format!("it refuses the password ({error})")).with_hint(PASSWORD)
}

/// Reads the pairs of names and values that a sentinel answers with.
fn named(pairs: Vec<Reply>) -> Option<Primary> {
    let texts: Vec<String> = pairs.into_iter().map(|reply| reply.text().unwrap_or_default()).collect();
    let value = |name: &str| texts.chunks_exact(2).find(|pair| pair[0] == name).map(|pair| pair[1].as_str());
    Some(Primary {
        host: value("ip").filter(|host| !host.is_empty())?.to_owned(),
        port: value("port")?.parse().ok()?,
        epoch: value("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16, epoch: i64) -> Primary {
        Primary { host: "h".into(), port, epoch }
    }

    #[test]
    fn most_sentinels_decide_and_one_of_three_does_not() {
        assert_eq!(agreed(&[at(1, 0)], 1), Some(at(1, 0)));
        assert_eq!(agreed(&[at(1, 0)], 3), None);
        assert_eq!(agreed(&[at(1, 0), at(2, 1)], 3), None);
        assert_eq!(agreed(&[at(1, 0), at(2, 1), at(2, 1)], 3), Some(at(2, 1)));
        assert_eq!(agreed(&[at(1, 0), at(1, 0)], 4), None);
    }

    #[test]
    fn only_a_server_that_says_so_is_a_primary() {
        assert!(refuse_replica(Some("master"), "h:1").is_ok());
        for role in [Some("slave"), Some("replica"), Some("sentinel"), None] {
            assert!(refuse_replica(role, "h:1").is_err(), "{role:?}");
        }
    }

    #[test]
    fn a_sentinels_answer() {
        let bulk = |text: &str| Reply::Bulk(text.as_bytes().to_vec());
        let reply = ["name", "m", "ip", "10.0.0.1", "port", "6380", "config-epoch", "7"].map(bulk).to_vec();
        assert_eq!(named(reply), Some(Primary { host: "10.0.0.1".into(), port: 6380, epoch: 7 }));
        assert_eq!(named(["ip", "", "port", "1"].map(bulk).to_vec()), None);
        assert_eq!(named(Vec::new()), None);
    }
}
