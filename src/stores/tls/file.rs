//! Files of certificates and keys.

use std::io::Read as _;
use std::path::Path;

use sen_model::error::Error;

/// A file, as long as it is of a length that makes sense: `/dev/zero` has no end.
pub(super) fn slurp(path: &Path) -> std::io::Result<Vec<u8>> {
    const LONGEST: u64 = 64 << 20;
    let mut content = Vec::new();
    std::fs::File::open(path)?.take(LONGEST + 1).read_to_end(&mut content)?;
    if content.len() as u64 > LONGEST {
        return Err(std::io::Error::other("it is longer than 64 MiB"));
    }
    Ok(content)
}

/// The error of a file that cannot be read.
pub(super) fn unreadable(path: &Path) -> Error {
    Error::usage(format!("cannot read {}", path.display()))
}
