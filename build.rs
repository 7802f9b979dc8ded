//! What `sen --version` says of how it was built: the commit and the features.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rustc-env=SEN_BUILD=commit {}, features {}", commit(), features());
    println!("cargo::rerun-if-env-changed=SEN_COMMIT");
}

/// Said by whoever packages; else that of the sources, in a checkout or in a published crate.
fn commit() -> String {
    let said = std::env::var("SEN_COMMIT").ok().filter(|commit| is_commit(commit));
    let commit = said.or_else(of_checkout).or_else(of_crate);
    commit.map_or_else(|| "unknown".into(), |commit| commit.chars().take(12).collect())
}

fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn of_checkout() -> Option<String> {
    // Sources that lie in somebody else's repository have no commit there.
    Path::new(".git").exists().then_some(())?;
    // Written with every commit and every checkout.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    println!("cargo::rerun-if-changed={log}");
    git(&["rev-parse", "HEAD"]).filter(|commit| is_commit(commit))
}

/// `cargo package` leaves this beside the sources.
fn of_crate() -> Option<String> {
    let text = std::fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let rest = text.split_once("\"sha1\"")?.1;
    rest.split('"').nth(1).filter(|commit| is_commit(commit)).map(str::to_owned)
}

fn features() -> String {
    let built = |name: &&str| std::env::var_os(format!("CARGO_FEATURE_{}", name.to_uppercase())).is_some();
    let names: Vec<&str> = ["postgres", "sqlite", "redis"].into_iter().filter(built).collect();
    if names.is_empty() { "none".into() } else { names.join(" ") }
}
