//! Who runs this program, and where their home is: defaults for the role and for the files of libpq.

use std::path::PathBuf;

/// The name of the operating system's user: by its number in `/etc/passwd`, as libpq, else as the environment says
/// (directories such as LDAP are not asked).
pub(super) fn user(env: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    from_passwd(0)
        .or_else(|| ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| env(name)))
        .filter(|name| !name.is_empty())
}

/// The home directory: `HOME`, else the one in `/etc/passwd`.
pub(super) fn home(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    env("HOME").filter(|home| !home.is_empty()).or_else(|| from_passwd(5)).map(PathBuf::from)
}

#[cfg(unix)]
fn from_passwd(column: usize) -> Option<String> {
    let uid = rustix::process::geteuid().as_raw().to_string();
    let content = std::fs::read("/etc/passwd").ok()?;
    String::from_utf8_lossy(&content).lines().find_map(|line| {
        let columns: Vec<&str> = line.split(':').collect();
        (columns.get(2) == Some(&uid.as_str())).then(|| columns.get(column).map(|text| (*text).to_owned()))?
    })
}

#[cfg(not(unix))]
fn from_passwd(_: usize) -> Option<String> {
    None
}
