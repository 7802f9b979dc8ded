//! What the documents point to is there: links to files of the repository, and files that are named in them.

use std::fs;
use std::path::{Component, Path, PathBuf};

use regex::Regex;

/// Every file that is kept, with its path from the root of the repository.
fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut files, mut folders) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a folder can be listed").path();
            let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
            if path.is_dir() && !["target", "dist", ".git"].contains(&name.as_str()) {
                folders.push(path);
            } else if path.is_file() {
                files.push(path.strip_prefix(root).expect("it lies below the root").to_path_buf());
            }
        }
    }
    files
}

/// `a/../b` without the way up.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// What this document points to and is not there.
fn astray(document: &Path, text: &str, files: &[PathBuf]) -> Vec<String> {
    let link = Regex::new(r"\]\(([^)#\s]+)[^)]*\)").expect("the pattern is regular");
    let named = Regex::new(r"`([\w/.-]+\.(?:rs|sh|md))`").expect("the pattern is regular");
    let beside = document.parent().unwrap_or(Path::new(""));
    let there = |path: &Path| files.iter().any(|file| file == path || file.starts_with(path));
    let links = link.captures_iter(text).map(|found| found[1].to_owned());
    let links = links.filter(|link| !link.contains("://") && !there(&plain(&beside.join(link))));
    let names = named.captures_iter(text).map(|found| found[1].to_owned());
    // A change log names what was there; the others name what is, by the end of its path.
    let names =
        names.filter(|name| !document.ends_with("CHANGELOG.md") && !files.iter().any(|file| file.ends_with(name)));
    links.chain(names).map(|lost| format!("{}: {lost}", document.display())).collect()
}

#[test]
fn documents_point_to_what_is_there() {
    let files = files();
    let documents: Vec<&PathBuf> =
        files.iter().filter(|file| file.extension().is_some_and(|end| end == "md")).collect();
    assert!(documents.len() > 10, "the documents were not found");
    let read = |document: &Path| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(document)).unwrap();
    let lost: Vec<String> = documents.iter().flat_map(|document| astray(document, &read(document), &files)).collect();
    assert!(lost.is_empty(), "what documents point to and is not there:\n{}", lost.join("\n"));
}

#[test]
fn what_leads_astray_is_seen() {
    let files = [PathBuf::from("docs/a.md"), PathBuf::from("src/cli/mask.rs")];
    let text =
        "[a](a.md) [b](b.md#x) [up](../src/cli) [web](https://x.y/z.md) `mask.rs` `cli/mask.rs` `li/mask.rs` `gone.rs`";
    assert_eq!(
        astray(Path::new("docs/a.md"), text, &files),
        ["docs/a.md: b.md", "docs/a.md: li/mask.rs", "docs/a.md: gone.rs"]
    );
}
