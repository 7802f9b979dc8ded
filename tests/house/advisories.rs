//! What is known against the versions this program is built of: advisories, where a copy of RustSec's database is at hand, and
//! versions that were yanked, as far as cargo's own index of this machine tells. Nothing is fetched.

use std::fs;
use std::path::{Path, PathBuf};

use semver::{Version, VersionReq};
use serde_json::Value;

/// Advisories that do not concern this program, with the reason beside each.
const IGNORED: [&str; 0] = [];

/// Name and version of everything in a lock file that comes from a registry.
fn locked(text: &str) -> Vec<(String, Version)> {
    let value = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""))?;
        Some(line.trim_end_matches('"').to_owned())
    };
    let blocks = text.split("[[package]]").skip(1).filter(|block| block.contains("source = \"registry+"));
    blocks.filter_map(|block| Some((value(block, "name")?, value(block, "version")?.parse().ok()?))).collect()
}

/// Files with this ending somewhere below a folder.
fn below(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            below(&path, ending, found);
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
}

/// A string of the advisory's TOML.
fn text<'a>(toml: &'a str, name: &str) -> Option<&'a str> {
    toml.lines().find_map(|line| {
        line.trim().strip_prefix(name)?.trim().strip_prefix('=')?.trim().strip_prefix('"')?.split('"').next()
    })
}

/// A list of requirements; `None` for one that cannot be read, which then excuses nothing.
fn requirements(toml: &str, name: &str) -> Vec<Option<VersionReq>> {
    let start =
        toml.lines().position(|line| line.trim().strip_prefix(name).is_some_and(|rest| rest.trim().starts_with('=')));
    let lines: Vec<&str> = toml.lines().skip(start.unwrap_or(usize::MAX)).collect();
    let all = lines.join("\n");
    let list = all.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or("", |(list, _)| list);
    list.split('"').skip(1).step_by(2).map(|one| VersionReq::parse(one).ok()).collect()
}

/// What an advisory says of what is locked: one line a version that it concerns.
fn concerns(advisory: &str, locked: &[(String, Version)]) -> Vec<String> {
    let toml = advisory.split("```").nth(1).unwrap_or(advisory).trim_start_matches("toml");
    let (Some(id), Some(package)) = (text(toml, "id"), text(toml, "package")) else { return Vec::new() };
    if text(toml, "withdrawn").is_some() || IGNORED.contains(&id) {
        return Vec::new();
    }
    let excused: Vec<_> =
        ["patched", "unaffected"].iter().flat_map(|name| requirements(toml, name)).flatten().collect();
    let hit = |version: &Version| !excused.iter().any(|fine| fine.matches(version));
    let kind = text(toml, "informational").map_or(String::new(), |kind| format!(" ({kind})"));
    let found = locked.iter().filter(|(name, version)| name == package && hit(version));
    found.map(|(name, version)| format!("{name} {version}: {id}{kind}")).collect()
}

/// Everything a database says.
fn all_concerns(database: &Path, locked: &[(String, Version)]) -> (usize, Vec<String>) {
    let mut files = Vec::new();
    below(&database.join("crates"), ".md", &mut files);
    let found = files.iter().flat_map(|file| concerns(&fs::read_to_string(file).unwrap_or_default(), locked));
    (files.len(), found.collect())
}

fn cargo_home() -> Option<PathBuf> {
    let named = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
}

/// Where a database may be: where the variable says, else where cargo-audit and cargo-deny keep theirs.
fn databases() -> Vec<PathBuf> {
    if let Some(named) = std::env::var_os("SEN_TEST_ADVISORIES") {
        return vec![named.into()];
    }
    let Some(home) = cargo_home() else { return Vec::new() };
    let kept =
        fs::read_dir(home.join("advisory-dbs")).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    kept.chain([home.join("advisory-db")]).filter(|folder| folder.join("crates").is_dir()).collect()
}

/// Whether a version was yanked, from an entry of cargo's cache: each version's number and its JSON, between zeros.
fn is_yanked(cached: &[u8], version: &str) -> bool {
    let mut pieces = cached.split(|byte| *byte == 0).skip_while(|piece| *piece != version.as_bytes()).skip(1);
    let told = pieces.next().and_then(|piece| serde_json::from_slice::<Value>(piece).ok());
    told.is_some_and(|told| told["yanked"] == true)
}

fn lock_file() -> Vec<(String, Version)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
    let found = locked(&fs::read_to_string(path).expect("it is text"));
    assert!(found.len() > 50, "the lock file was not understood");
    found
}

/// Crates are bound by no advisory in any database at hand. One that was named must be there.
#[test]
fn no_advisory_is_known_against_what_is_locked() {
    let locked = lock_file();
    let mut found = Vec::new();
    for database in databases() {
        let (count, told) = all_concerns(&database, &locked);
        assert!(count > 0, "no advisories in {}", database.display());
        found.extend(told);
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_locked_version_was_yanked() {
    let mut entries = Vec::new();
    let index = cargo_home().map(|home| home.join("registry/index"));
    index.iter().for_each(|index| below(index, "", &mut entries));
    let mut found = Vec::new();
    for (name, version) in lock_file() {
        let own = |path: &&PathBuf| {
            path.file_name().is_some_and(|file| *file == *name)
                && path.components().any(|part| part.as_os_str() == ".cache")
        };
        for path in entries.iter().filter(own) {
            if is_yanked(&fs::read(path).unwrap_or_default(), &version.to_string()) {
                found.push(format!("{name} {version} was yanked"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// A planted database: what concerns a locked version is found, and nothing else.
#[test]
fn planted_advisories_are_seen() {
    let lock = "version = 4\n\n[[package]]\nname = \"hole\"\nversion = \"1.2.3\"\nsource = \"registry+https://x\"\n\n[[package]]\nname = \"own\"\nversion = \"0.1.0\"\n";
    let locked = locked(lock);
    assert_eq!(locked, [("hole".to_owned(), Version::new(1, 2, 3))]);
    let folder = tempfile::tempdir().expect("a folder can be made");
    let crates = folder.path().join("crates/hole");
    fs::create_dir_all(&crates).expect("a folder can be made");
    let advisory = |id: &str, more: &str, versions: &str| {
        let text = format!(
            "```toml\n[advisory]\nid = \"{id}\"\npackage = \"hole\"\n{more}\n[versions]\n{versions}\n```\n\n# A hole\n"
        );
        fs::write(crates.join(format!("{id}.md")), text).expect("a file can be written");
    };
    advisory("R-1", "", "patched = [\n  \">= 1.2.4\",\n]");
    advisory("R-2", "", "patched = [\">= 1.2.3\"]");
    advisory("R-3", "", "patched = []\nunaffected = [\"< 1.3.0\"]");
    advisory("R-4", "informational = \"unmaintained\"", "patched = []");
    advisory("R-5", "withdrawn = \"2026-01-01\"", "patched = []");
    advisory("R-6", "", "patched = [\"no version\"]");
    let (count, mut found) = all_concerns(folder.path(), &locked);
    found.sort();
    assert_eq!(
        (count, found.join(", ").as_str()),
        (6, "hole 1.2.3: R-1, hole 1.2.3: R-4 (unmaintained), hole 1.2.3: R-6")
    );
    let cached = b"\x03\x02\0etag\x001.2.3\0{\"vers\": \"1.2.3\", \"yanked\": true}\x001.2.4\0{\"vers\": \"1.2.4\", \"yanked\": false}\0";
    assert!(is_yanked(cached, "1.2.3") && !is_yanked(cached, "1.2.4") && !is_yanked(cached, "1.2.5"));
}
