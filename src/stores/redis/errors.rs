//! What the error replies of Redis mean: a kind, the server's own words, a hint. Pure.

use sen_model::error::{Error, ErrorKind};

/// What an error reply means.
pub fn from_server(text: &str) -> Error {
    let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
    let told = |kind, message: &str| Error::new(kind, format!("{message} ({text})"));
    match code {
        "NOAUTH" => told(ErrorKind::Connect, "Redis wants a password").with_hint("write redis://:password@host"),
        "WRONGPASS" => told(ErrorKind::Connect, "Redis refuses the user or the password"),
        "NOPERM" => told(ErrorKind::Denied, "this Redis user may not do that")
            .with_hint("its access list (ACL) lacks a command or a pattern of keys: `sen grants` prints the rule"),
        "READONLY" => told(ErrorKind::Changed, "this Redis is a read-only replica; nothing was written")
            .with_hint("connect to the primary to write"),
        "OOM" => told(ErrorKind::Database, "Redis is out of memory and takes no writes; nothing was written")
            .with_hint("free memory, or raise maxmemory"),
        "MISCONF" => told(ErrorKind::Database, "Redis takes no writes because it cannot save to disk"),
        "NOREPLICAS" => told(ErrorKind::Database, "Redis takes no writes because it has too few replicas"),
        "LOADING" => told(ErrorKind::Connect, "Redis is still loading its data").with_hint("try again in a while"),
        "MASTERDOWN" => told(ErrorKind::Connect, "this Redis replica has lost its primary and serves nothing"),
        "BUSY" => told(ErrorKind::Timeout, "Redis is busy with another client's script"),
        "MOVED" | "ASK" | "CROSSSLOT" | "CLUSTERDOWN" => {
            told(ErrorKind::Database, "this is a Redis Cluster, which is not supported")
                .with_hint("the keys of one task lie in different slots there, so no change can be guarded")
        }
        "WRONGTYPE" => told(ErrorKind::Unreadable, "a key is of another type than expected"),
        // What a script ran was denied: Redis 7 says so without a code, and does not say which command.
        "ERR" if rest.contains("The user executing the script can't") || rest.starts_with("ACL failure in script") => {
            told(ErrorKind::Denied, "this Redis user may not do that")
                .with_hint("`sen doctor` names what its access list (ACL) lacks; `sen grants` prints the rule")
        }
        // Redis 6 hides the code of what a script's command was refused for.
        "ERR" if rest.contains("running script") && hidden_code(rest).is_some() => {
            from_server(hidden_code(rest).unwrap_or_default())
        }
        "ERR" if rest.starts_with("DB index") => told(ErrorKind::Connect, "there is no Redis database of that number"),
        "ERR" if rest.contains("AUTH <password> called without any password") => {
            told(ErrorKind::Connect, "this Redis has no password set").with_hint("remove it from the URL")
        }
        "ERR" if rest.contains("max number of clients") => told(ErrorKind::Connect, "Redis has too many clients"),
        _ => told(ErrorKind::Database, "Redis refused"),
    }
}

/// Why a server in cluster mode is refused at the log-in: a list would show the tasks of one node only, or none.
pub(super) fn cluster(described: &str) -> Error {
    Error::usage(format!("{described} is a Redis Cluster, which is not supported")).with_hint(
        "the keys of one task lie in different slots there, so neither a list nor a guarded change could be right",
    )
}

/// Why a sentinel is refused where a server with data is meant.
pub(super) fn sentinel(described: &str) -> Error {
    Error::usage(format!("{described} is a Redis Sentinel, which holds no tasks"))
        .with_hint("write redis+sentinel://host:26379,host:26379/name/0 to have it asked for the primary")
}

/// What a command inside a script said, from `Error running script (…): @user_script:9: -OOM command not allowed`.
fn hidden_code(text: &str) -> Option<&str> {
    let codes = ["OOM", "READONLY", "MISCONF", "NOREPLICAS", "WRONGTYPE", "NOPERM"];
    let at = codes.iter().filter_map(|code| text.find(&format!("{code} "))).min()?;
    Some(&text[at..])
}

/// Whether an error says that the log-in failed for lack of the right password.
pub(super) fn is_login(text: &str) -> bool {
    ["NOAUTH", "WRONGPASS"].iter().any(|code| text.starts_with(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        let cases = [
            ("NOAUTH Authentication required.", ErrorKind::Connect),
            ("WRONGPASS invalid username-password pair or user is disabled.", ErrorKind::Connect),
            ("NOPERM User x has no permissions to run the 'eval' command", ErrorKind::Denied),
            ("ERR The user executing the script can't run this command or subcommand script: f", ErrorKind::Denied),
            (
                "ERR ACL failure in script: User x has no permissions to run the 'del' command script: f",
                ErrorKind::Denied,
            ),
            ("READONLY You can't write against a read only replica.", ErrorKind::Changed),
            ("OOM command not allowed when used memory > 'maxmemory'.", ErrorKind::Database),
            ("ERR DB index is out of range", ErrorKind::Connect),
            ("MOVED 3999 127.0.0.1:6381", ErrorKind::Database),
            ("BUSY Redis is busy running a script.", ErrorKind::Timeout),
            ("nonsense", ErrorKind::Database),
        ];
        for (text, kind) in cases {
            let error = from_server(text);
            assert_eq!(error.kind(), kind, "{text}");
            assert!(error.to_string().contains(text), "{error}");
        }
        let six = "ERR Error running script (call to f_1): @user_script:9: @user_script: 9: -READONLY You can't write";
        assert_eq!(from_server(six).kind(), ErrorKind::Changed);
    }
}
