//! A clock that stands still, for whole processes: what is shown of one data set then never differs, ages included.

use std::path::{Path, PathBuf};
use std::process::Command;

/// When everything happens: 2026-11-20T14:37:00Z.
const NOW: &str = "1795185420";

/// Makes the library in this folder and returns the variables that make a process look at the clock in it.
pub fn standing(folder: &Path) -> [(&'static str, String); 2] {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/harness/clock.c");
    let library = folder.join("clock.so");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let made = Command::new(compiler).args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).status();
    assert!(
        made.is_ok_and(|status| status.success()),
        "a C compiler, which building SQLite needs anyway, makes clock.so"
    );
    [("LD_PRELOAD", library.to_str().expect("the folder has a plain name").to_owned()), ("SEN_TEST_NOW", NOW.into())]
}
