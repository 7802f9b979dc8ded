//! What is given away: a tarball that runs where it is unpacked, the metadata of the packages, and the examples.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::sen::{SEN, sen};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn package(out: &Path, args: &[&str]) {
    let output = Command::new(root().join("scripts/package")).args(args).arg("--out").arg(out).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The names of the files in a folder.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn the_tarball_runs_where_it_is_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("dist");
    package(&out, &["--only", "tarball", "--fast", "--binary", SEN]);
    let files = names(&out);
    let tarball = files.iter().find(|name| name.ends_with(".tar.gz")).unwrap();
    assert!(tarball.starts_with(&format!("sen-{}-", env!("CARGO_PKG_VERSION"))), "{tarball}");
    let checked = Command::new("sha256sum").args(["-c", "SHA256SUMS"]).current_dir(&out).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
    let clean = folder.path().join("clean");
    fs::create_dir(&clean).unwrap();
    let unpacked = Command::new("tar").arg("-xzf").arg(out.join(tarball)).current_dir(&clean).status().unwrap();
    assert!(unpacked.success());
    let unpacked = clean.join(tarball.trim_end_matches(".tar.gz"));
    // Nothing of this machine but the loader: no PATH, no home, nothing of the sources.
    let run = |args: &[&str]| {
        let output =
            Command::new(unpacked.join("bin/sen")).args(args).env_clear().current_dir(&clean).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said, complained) = run(&["demo"]);
    assert!(code == Some(0) && clean.join("sen-demo.db").exists(), "{said}{complained}");
    let (code, said, _) = run(&["--database-url", "sqlite:sen-demo.db", "status", "--check"]);
    assert!(code == Some(10) && said.contains("3 keys uncertain"), "{said}");
    assert_eq!(names(&unpacked.join("share/man/man1")), names(&root().join("man")));
    for (place, source) in [
        ("share/bash-completion/completions/sen", "completions/sen.bash"),
        ("share/zsh/site-functions/_sen", "completions/_sen"),
        ("share/fish/vendor_completions.d/sen.fish", "completions/sen.fish"),
        ("share/powershell/_sen.ps1", "completions/_sen.ps1"),
        ("share/elvish/lib/sen.elv", "completions/sen.elv"),
        ("share/doc/sen/README.md", "README.md"),
        ("share/doc/sen/LICENSE", "LICENSE"),
        ("share/doc/sen/docs/hooks/chat.sh", "docs/hooks/chat.sh"),
    ] {
        assert_eq!(fs::read(unpacked.join(place)).unwrap(), fs::read(root().join(source)).unwrap(), "{place}");
    }
}

/// All kinds, built as they are given away.
#[ignore = "needs root, debootstrap, rpm, cargo-deb, cargo-generate-rpm and a network: scripts/test --wide package"]
#[test]
fn a_package_runs_in_a_clean_root_without_rust() {
    let folder = tempfile::tempdir().unwrap();
    package(folder.path(), &["--check"]);
    let kinds = [".tar.gz", ".deb", ".rpm", ".cdx.json"];
    let files = names(folder.path());
    assert!(kinds.iter().all(|kind| files.iter().any(|name| name.ends_with(kind))), "{files:?}");
}

#[test]
fn the_sbom_names_what_is_linked_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    package(folder.path(), &["--only", "sbom"]);
    let file = folder.path().join(format!("sen-{}.cdx.json", env!("CARGO_PKG_VERSION")));
    let sbom: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!((sbom["bomFormat"].as_str(), sbom["specVersion"].as_str()), (Some("CycloneDX"), Some("1.5")));
    assert_eq!(sbom["metadata"]["component"]["name"], "sen");
    let components = sbom["components"].as_array().unwrap();
    let names: BTreeSet<&str> = components.iter().map(|one| one["name"].as_str().unwrap()).collect();
    for linked in ["sen_core", "sen_stores", "tokio-postgres", "rusqlite", "libsqlite3-sys", "rustls", "toml", "clap"] {
        assert!(names.contains(linked), "{linked} is missing");
    }
    for tool in ["vt100", "proptest", "portable-pty", "serde_yaml_ng", "sen"] {
        assert!(!names.contains(tool), "{tool} is not linked into sen");
    }
    assert!(components.iter().all(|one| one["licenses"][0]["expression"].is_string()), "every one has a licence");
    let ids: BTreeSet<&str> = components.iter().map(|one| one["bom-ref"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), components.len(), "each is there once");
}

/// The sources of the files that a package lists in `Cargo.toml`.
fn assets(of: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let section = text.split_once(&format!("[package.metadata.{of}]")).unwrap().1;
    let list = section.split_once("assets = [\n").unwrap().1.split_once("\n]").unwrap().0;
    let source = |line: &str| line.split('"').nth(1).unwrap().to_owned();
    list.lines().map(source).collect()
}

#[test]
fn packages_name_files_that_are_there() {
    for package in ["deb", "generate-rpm"] {
        let assets = assets(package);
        assert!(assets.len() >= 6 && assets[0] == "target/release/sen", "{assets:?}");
        for asset in &assets[1..] {
            let plain = asset.trim_end_matches("/**/*").trim_end_matches("/*.1");
            assert!(root().join(plain).exists(), "{package}: {asset}");
        }
    }
    let docker = fs::read_to_string(root().join("Dockerfile")).unwrap();
    let wanted = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let rust = wanted.split_once("rust-version = \"").unwrap().1.split('"').next().unwrap().to_owned();
    assert!(docker.contains(&format!("FROM rust:{rust}-")), "the Dockerfile builds with the oldest Rust there may be");
    let missing = Command::new(root().join("scripts/package")).args(["--only", "nonsense"]).output().unwrap();
    assert!(String::from_utf8_lossy(&missing.stderr).contains("unknown kind: nonsense"));
}

#[test]
fn the_version_names_commit_and_features() {
    let said = sen(["--version"]).run().expect_code(0).stdout;
    let build = said.strip_prefix(&format!("sen {} (commit ", env!("CARGO_PKG_VERSION"))).unwrap();
    let (commit, features) = build.split_once(", features ").unwrap();
    assert_eq!(features, "postgres sqlite redis)\n");
    // A commit of this checkout; a newer one may have been made since the build.
    let git = |args: &[&str]| Command::new("git").args(args).current_dir(root()).output();
    let is_checkout =
        root().join(".git").exists() && git(&["rev-parse", "HEAD"]).is_ok_and(|head| head.status.success());
    if is_checkout {
        let known = git(&["cat-file", "-e", &format!("{commit}^{{commit}}")]).unwrap().status.success();
        assert!(known && commit.len() == 12, "{said}");
    } else {
        assert!(!commit.is_empty(), "{said}");
    }
    // The short one is for scripts that compare versions.
    assert_eq!(sen(["-V"]).run().expect_code(0).stdout, format!("sen {}\n", env!("CARGO_PKG_VERSION")));
}

/// Every command line of `sen` in the examples.
fn commands_of(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#') && line.contains("sen once "));
    lines.map(|line| line.split_once("sen once ").unwrap().1.to_owned()).collect()
}

#[test]
fn the_examples_hold_together() {
    let examples = root().join("docs/examples");
    let job: Value = serde_yaml_ng::from_str(&fs::read_to_string(examples.join("cronjob.yaml")).unwrap()).unwrap();
    assert_eq!((job["kind"].as_str(), job["apiVersion"].as_str()), (Some("CronJob"), Some("batch/v1")));
    let pod = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    assert_eq!(pod["restartPolicy"], "Never", "what podFailurePolicy needs");
    let rule = &job["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"][0]["onExitCodes"];
    assert_eq!((&rule["containerName"], &rule["values"][0]), (&pod["containers"][0]["name"], &serde_json::json!(76)));
    for (file, options) in [
        ("cronjob.yaml", vec!["--connect-retry", "60s", "--conflict-exit-code", "0"]),
        ("sen-once-backup.service", vec!["--connect-retry", "60s"]),
    ] {
        let lines = commands_of(&examples.join(file));
        let [line] = &lines[..] else { panic!("{file}: {lines:?}") };
        assert!(line.starts_with(&options.join(" ")), "{file}: {line}");
        // They are options of this version: the database is what is missing.
        let words: Vec<&str> = ["once"].into_iter().chain(options).chain(["k", "--", "true"]).collect();
        let said = sen(words).run().expect_code(125).stderr;
        assert!(said.contains("no database"), "{file}: {said}");
    }
    let unit = |name: &str| fs::read_to_string(examples.join(name)).unwrap();
    let (service, timer) = (unit("sen-once-backup.service"), unit("sen-once-backup.timer"));
    assert!(
        service.contains("SuccessExitStatus=75\n") && service.contains("[Service]\n") && timer.contains("[Timer]\n")
    );
    for text in [service, timer] {
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            assert!(line.starts_with('[') || line.contains('='), "{line}");
        }
    }
}
