//! Who acts, for the records beside the rows and in the journal.

/// Who sits here, for the record: the user this process runs as and the host. What `sudo` says of who called it is
/// repeated as a claim, and only where sudo could have said it: any other user sets the variable at will.
pub fn operator() -> String {
    let uid = rustix::process::getuid();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = user_of(&users, uid.as_raw());
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let claimed = std::env::var("SUDO_USER").ok().filter(|name| uid.is_root() && !name.is_empty());
    match claimed {
        Some(name) => format!("{user}@{host} (for {name}, by sudo's word)"),
        None => format!("{user}@{host}"),
    }
}

/// The name of the user with this number, where the machine's own file knows it.
fn user_of(users: &str, uid: u32) -> String {
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("uid {uid}"))
}

#[cfg(test)]
mod tests {
    use super::user_of;

    #[test]
    fn users_are_named_by_their_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\n# comment\nmaria:x:1000:1000::/home/maria:/bin/sh\n";
        assert_eq!(user_of(users, 0), "root");
        assert_eq!(user_of(users, 1000), "maria");
        assert_eq!(user_of(users, 7), "uid 7");
    }
}
