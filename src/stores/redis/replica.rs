//! Reading from a replica where the operator wants it: which one, and how far behind it is.

use tokio::time::Instant;

use super::resp::{Batch, Reply};
use super::wire::{LONGEST_OF_LOGIN, Place, Wire, before};
use crate::url::{RedisInfo, shown};
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::secret::Secret;

/// What a server says of itself and of those that follow it.
#[derive(Debug, PartialEq, Eq)]
enum Role {
    /// Its own place in the stream of changes, and its replicas with what they have acknowledged.
    Primary { offset: i64, replicas: Vec<(String, u16, i64)> },
    /// Whom it follows, whether it hears of changes now, and how many bytes of them it has.
    Replica { primary: String, in_step: bool, offset: i64 },
}

/// A replica of the server that `wire` leads to, or that server where there is none to read from. Which it is, and how far behind,
/// is kept in the wire's note.
///
/// # Errors
/// Where the connection to the server is lost; what is wrong with replicas is no error.
pub(super) async fn preferred(info: &RedisInfo, mut wire: Wire, password: Option<&Secret>) -> Result<Wire> {
    let deadline = Instant::now() + info.connect_timeout;
    let here = wire.server().to_owned();
    let note = match before(deadline, info, role(&mut wire)).await {
        Ok(Role::Primary { offset, replicas }) => {
            let mut refusals = Vec::new();
            for (host, port, _) in &replicas {
                match before(deadline, info, follow(info, host, *port, password)).await {
                    Ok((mut replica, behind)) => {
                        let behind = distance(offset, behind);
                        replica.tell(format!("read from the replica {} of {here}, {behind}", shown(host, *port)));
                        return Ok(replica);
                    }
                    Err(error) => refusals.push(format!("{}: {error}", shown(host, *port))),
                }
            }
            match refusals.is_empty() {
                true => format!("read from the primary {here}: it has no replica"),
                false => format!("read from the primary {here}: no replica can be read from ({})", refusals.join("; ")),
            }
        }
        Ok(Role::Replica { primary, in_step: true, .. }) => {
            format!("read from {here}, a replica of {primary}: how far behind it is is not known")
        }
        Ok(Role::Replica { primary, in_step: false, .. }) => {
            format!(
                "read from {here}, a replica that does not hear from its primary {primary} now: what it shows may be old"
            )
        }
        Err(error) if error.kind() == ErrorKind::Disconnected => return Err(error),
        Err(error) => format!("read from {here}: it does not tell its replicas ({error})"),
    };
    wire.tell(note);
    Ok(wire)
}

/// How far behind, for people. What the replica says was asked later, so it can be ahead of what the primary had.
fn distance(primary: i64, replica: i64) -> String {
    match primary.saturating_sub(replica) {
        ..=0 => "which has all that its primary had".to_owned(),
        1 => "1 byte of changes behind".to_owned(),
        bytes => format!("{bytes} bytes of changes behind"),
    }
}

/// The replica at this place, logged in, with what it has of its primary's changes.
async fn follow(info: &RedisInfo, host: &str, port: u16, password: Option<&Secret>) -> Result<(Wire, i64)> {
    let mut wire = Wire::reach(&Place::Host(host, port), info.tls.as_ref()).await?;
    wire.log_in(info, password).await?;
    match role(&mut wire).await? {
        Role::Replica { in_step: true, offset, .. } => Ok((wire, offset)),
        Role::Replica { .. } => Err(Error::new(ErrorKind::Pending, "it does not hear from its primary")),
        Role::Primary { .. } => Err(Error::new(ErrorKind::Changed, "it is no replica any more")),
    }
}

async fn role(wire: &mut Wire) -> Result<Role> {
    let reply = wire.exchange_of(&Batch::of(&[b"ROLE"]), LONGEST_OF_LOGIN).await?.pop().unwrap_or(Reply::Nil);
    told(reply.array()?).ok_or_else(|| Error::new(ErrorKind::Unreadable, "its answer to ROLE is not understood"))
}

/// Reads the answer to ROLE.
fn told(parts: Vec<Reply>) -> Option<Role> {
    let mut parts = parts.into_iter();
    match parts.next()?.text()?.as_str() {
        "master" => {
            let offset = parts.next()?.int()?;
            let mut replicas: Vec<(String, u16, i64)> = Vec::new();
            for replica in parts.next()?.array().ok()? {
                let mut facts = replica.array().ok()?.into_iter().map(|fact| fact.text());
                let (host, port, offset) = (facts.next()??, facts.next()??, facts.next()??);
                replicas.push((host, port.parse().ok()?, offset.parse().ok()?));
            }
            // The one that has most comes first.
            replicas.sort_by_key(|(.., offset)| std::cmp::Reverse(*offset));
            Some(Role::Primary { offset, replicas })
        }
        "slave" | "replica" => {
            let (host, port) = (parts.next()?.text()?, parts.next()?.int()?);
            let in_step = parts.next()?.text()? == "connected";
            let primary = shown(&host, u16::try_from(port).ok()?);
            Some(Role::Replica { primary, in_step, offset: parts.next()?.int()? })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Reply {
        Reply::Bulk(text.as_bytes().to_vec())
    }

    #[test]
    fn the_replica_that_has_most_is_asked_first() {
        let replica = |port: &str, offset: &str| Reply::Array([bulk("::1"), bulk(port), bulk(offset)].to_vec());
        let parts = vec![bulk("master"), Reply::Int(9), Reply::Array(vec![replica("7", "3"), replica("8", "5")])];
        let replicas = vec![("::1".to_owned(), 8, 5), ("::1".to_owned(), 7, 3)];
        assert_eq!(told(parts), Some(Role::Primary { offset: 9, replicas }));
    }

    #[test]
    fn a_replica_says_whom_it_follows() {
        let of = |state: &str| vec![bulk("slave"), bulk("h"), Reply::Int(6379), bulk(state), Reply::Int(4)];
        let role = |in_step| Some(Role::Replica { primary: "h:6379".into(), in_step, offset: 4 });
        assert_eq!((told(of("connected")), told(of("sync"))), (role(true), role(false)));
        assert_eq!((told(vec![bulk("sentinel")]), told(Vec::new())), (None, None));
    }

    #[test]
    fn distances() {
        assert_eq!(distance(9, 8), "1 byte of changes behind");
        assert_eq!(distance(9, 2), "7 bytes of changes behind");
        assert_eq!(distance(9, 12), "which has all that its primary had");
    }
}
