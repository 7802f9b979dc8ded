//! The scripts of `docs/runbooks`, run as they stand.

use std::path::Path;
use std::process::{Command, Stdio};

use super::patience::{PATIENCE, longer, shown};
use super::sen::clean_environment;

/// How a runbook ended.
pub struct Ended {
    /// Its exit code.
    pub code: i32,
    /// What it printed.
    pub said: String,
}

impl Ended {
    /// Checks the exit code.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}", self.said);
        self
    }
}

/// Runs a script with the `sen` under test first in its path. What it waits for to settle is expected to come.
pub fn run(script: &str, args: &[&str], url: &str) -> Ended {
    // A wait's time bounds its log-in, too: where that was over first, the run shows nothing.
    shown(script, |number| {
        let ended = run_once(script, args, url, [longer(number), PATIENCE.as_millis() as u64]);
        (!ended.said.contains("no answer within")).then_some(ended)
    })
}

/// Runs a script that waits in vain for something to settle.
pub fn run_in_vain(script: &str, args: &[&str], url: &str) -> Ended {
    run_once(script, args, url, [PATIENCE.as_millis() as u64, 2000])
}

fn run_once(script: &str, args: &[&str], url: &str, [wait, settle]: [u64; 2]) -> Ended {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = Path::new(env!("CARGO_BIN_EXE_sen")).parent().expect("it lies in a folder");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([own.to_path_buf()].into_iter().chain(std::env::split_paths(&path)))
        .expect("a path can be made");
    let output = Command::new("sh")
        .arg(root.join("docs/runbooks").join(script))
        .args(args)
        .env_clear()
        .envs(clean_environment())
        .env("PATH", path)
        .env("DATABASE_URL", url)
        .env("WAIT", format!("{wait}ms"))
        .env("SETTLE", format!("{settle}ms"))
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        .output()
        .expect("a shell can be started");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ended { code: output.status.code().unwrap_or(-1), said }
}
