//! Text that must never be printed: passwords, and connection strings that may hold one.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// How many are kept; a long-lived program that rotates its passwords forgets the oldest.
const MOST: usize = 256;

static KNOWN: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

/// Keeps `secret` for [`known`], for as long as the process lives.
///
/// Called wherever a secret comes in: passwords of URLs (as written and decoded), `PGPASSWORD`, the line of a password
/// file that is used, passwords of services, of keys, and of Redis.
pub fn remember(secret: &str) {
    if secret.is_empty() {
        return;
    }
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if known.iter().any(|one| one == secret) {
        return;
    }
    if known.len() == MOST {
        known.pop_front();
    }
    known.push_back(secret.to_owned());
}

/// Every secret this process has come across, the longest first, so that one that holds another is found whole.
///
/// For whatever writes text: none of these may be in it. Very short ones are here as well; it is the caller's to say
/// from which length on one is told from an ordinary word.
pub fn known() -> Vec<String> {
    let mut known: Vec<String> = KNOWN.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
    known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    known
}

/// A secret. `Debug` and `Display` show only that there is one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that must use it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_debug_nor_display_tells() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "*** Secret(***)");
        assert_eq!(secret.reveal(), "hunter2");
    }

    #[test]
    fn what_was_remembered_is_known_once_and_the_longest_first() {
        for secret in ["remembered-a", "remembered-a-longer", "remembered-a", ""] {
            remember(secret);
        }
        let mine: Vec<String> =
            known().into_iter().filter(|one| one.is_empty() || one.starts_with("remembered-a")).collect();
        assert_eq!(mine, ["remembered-a-longer", "remembered-a"]);
    }
}
