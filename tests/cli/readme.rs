//! The README's recorded output is what the binary prints. `SEN_TEST_ACCEPT=1` records it anew.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::harness::redact::redact;
use crate::harness::sen::{SEN, clean_environment};
use crate::harness::snapshot::difference;

/// Commands of one block after another, in one folder, as somebody would type them.
struct Reader {
    folder: tempfile::TempDir,
    environment: BTreeMap<String, String>,
}

impl Reader {
    fn types(&mut self, line: &str) -> String {
        if let Some((name, value)) = line.strip_prefix("export ").and_then(|setting| setting.split_once('=')) {
            self.environment.insert(name.into(), value.into());
            return String::new();
        }
        let path = std::env::join_paths(
            [Path::new(SEN).parent().unwrap().to_path_buf()]
                .into_iter()
                .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
        );
        let output = Command::new("sh")
            .args(["-c", &format!("{{ {line}\n}} 2>&1")])
            .current_dir(self.folder.path())
            .env_clear()
            .envs(clean_environment())
            .env("HOME", self.folder.path())
            .envs(&self.environment)
            .env("PATH", path.unwrap())
            .env("COLUMNS", "100")
            // Where the journal of operations is.
            .env("HOME", self.folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{line} ended with {}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Ages grow, and columns with them.
fn comparable(text: &str) -> String {
    let text = regex::Regex::new("operation [0-9a-f-]+").unwrap().replace_all(text, "<operation>").into_owned();
    redact(&text).lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
}

#[test]
fn the_readme_shows_what_is_printed() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&file).unwrap();
    let mut reader = Reader { folder: tempfile::tempdir().unwrap(), environment: BTreeMap::new() };
    let (mut fresh, mut inside) = (String::new(), false);
    for line in readme.lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            // What was recorded makes room for what is printed now.
            _ if inside && !line.starts_with("$ ") => continue,
            _ => {}
        }
        fresh += &format!("{line}\n");
        if let Some(typed) = line.strip_prefix("$ ").filter(|_| inside) {
            let printed = reader.types(typed);
            fresh += &printed;
            if !printed.is_empty() && !printed.ends_with('\n') {
                fresh += "\n";
            }
        }
    }
    if std::env::var_os("SEN_TEST_ACCEPT").is_some_and(|value| value == "1") {
        std::fs::write(&file, &fresh).unwrap();
        return;
    }
    let (old, new) = (comparable(&readme), comparable(&fresh));
    assert!(
        old == new,
        "README.md is stale: SEN_TEST_ACCEPT=1 cargo test --test cli readme\n{}",
        difference(&old, &new)
    );
}
