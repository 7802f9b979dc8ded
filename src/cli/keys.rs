//! Keys as arguments and in suggested commands.

use sen_core::error::{Error, Result};
use sen_core::model::verdict::NextCommand;

/// A command with its key last.
pub fn keyed(words: &[&str], key: &str, why: &str) -> NextCommand {
    NextCommand::new(words, why).id(key)
}

/// Refuses a key that no database can hold.
///
/// # Errors
/// `Usage` for a key with a NUL byte.
pub fn checked_key(key: String) -> Result<String> {
    if key.contains('\0') {
        return Err(Error::usage("a key cannot hold a NUL byte"));
    }
    Ok(key)
}
