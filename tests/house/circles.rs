//! Circles between files: none may import another that, in however many steps, imports it.
//!
//! Paths are followed as the compiler would, including `super` and braces; a test module may take in its own file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;

use crate::rules::without_comments_and_strings;

// Made once: a file has hundreds of paths, and making a pattern takes longer than reading one of them.
static WORD: LazyLock<Regex> = LazyLock::new(|| regular(r"^\s*(\w+|\*)"));
static COLONS: LazyLock<Regex> = LazyLock::new(|| regular(r"^\s*::"));
static BRACE: LazyLock<Regex> = LazyLock::new(|| regular(r"^\s*\{"));

fn regular(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is regular")
}

/// The circles among files of one crate, each as the names of its modules: `files` are paths below the crate's folder.
pub(crate) fn circles(files: &[(String, String)]) -> Vec<Vec<String>> {
    let modules: BTreeMap<Vec<String>, &str> = files.iter().map(|(path, text)| (module(path), text.as_str())).collect();
    let mut imports: BTreeMap<&[String], BTreeSet<&[String]>> = BTreeMap::new();
    for (own, text) in &modules {
        let known = |path: &[String]| {
            (0..=path.len())
                .rev()
                .find_map(|length| modules.get_key_value(&path[..length]))
                .map(|(name, _)| name.as_slice())
        };
        let targets = imported(text, own);
        imports.insert(own, targets.iter().filter_map(|path| known(path)).filter(|target| target != own).collect());
    }
    let reach = |from: &[String]| {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&[String]> = imports[from].iter().copied().collect();
        while let Some(next) = open.pop() {
            if seen.insert(next) {
                open.extend(&imports[next]);
            }
        }
        seen
    };
    let reached: BTreeMap<&[String], BTreeSet<&[String]>> = imports.keys().map(|from| (*from, reach(from))).collect();
    let mut found = BTreeSet::new();
    for (from, targets) in &reached {
        if targets.contains(from) {
            let circle = targets.iter().filter(|other| reached[*other].contains(from));
            found.insert(circle.map(|name| if name.is_empty() { "lib".into() } else { name.join("/") }).collect());
        }
    }
    found.into_iter().collect()
}

/// The module that a file is: `act/rules` of `act/rules.rs`, nothing of the crate's root.
fn module(path: &str) -> Vec<String> {
    let path = path.trim_end_matches(".rs");
    if matches!(path, "lib" | "main") { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
}

/// What a file imports or names: paths from the crate's root.
fn imported(text: &str, own: &[String]) -> Vec<Vec<String>> {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let code = without_comments_and_strings(text);
    let module: Vec<&str> = own.iter().map(String::as_str).collect();
    let mut found = paths(&code, &module);
    let declared = regular(r"\bmod\s+(\w+)\s*;");
    for child in declared.captures_iter(&code) {
        let named = regular(&format!(r"(^|[^:\w]){}\s*::", &child[1]));
        if &child[1] != "tests" && named.is_match(&code) {
            found.push(own.iter().cloned().chain([child[1].to_owned()]).collect());
        }
    }
    found
}

/// Every path in the code that begins with `crate` or `super`, from the crate's root; `a::{b, c}` is two.
fn paths(code: &str, module: &[&str]) -> Vec<Vec<String>> {
    let start = regular(r"\b(crate|super)\s*::\s*");
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(hit) = start.find_at(code, at) {
        let rest = &code[hit.start()..];
        let length = tree(rest, Vec::new(), &mut |path| found.extend(resolve(&path, module)));
        at = hit.start() + length.max(hit.len());
    }
    found
}

/// Reads one use tree, tells of every whole path in it, and returns how long it is.
fn tree(text: &str, mut prefix: Vec<String>, tell: &mut impl FnMut(Vec<String>)) -> usize {
    let mut at = 0;
    loop {
        if let Some(open) = BRACE.find(&text[at..]) {
            at += open.end();
            loop {
                at += tree(&text[at..], prefix.clone(), tell);
                // Past `as name`, to the comma or the brace that ends this branch.
                let Some(end) = text[at..].find([',', '}']) else { return text.len() };
                at += end + 1;
                if text.as_bytes()[at - 1] == b'}' {
                    return at;
                }
            }
        }
        let Some(name) = WORD.captures(&text[at..]) else { return at };
        prefix.push(name[1].to_owned());
        at += name[0].len();
        match COLONS.find(&text[at..]) {
            Some(more) => at += more.end(),
            None => break,
        }
    }
    tell(prefix);
    at
}

/// The path from the crate's root; none for one that stays inside a file's own test module.
fn resolve(path: &[String], module: &[&str]) -> Option<Vec<String>> {
    let ups = path.iter().take_while(|name| *name == "super").count();
    if ups == 0 {
        return Some(path[1..].to_vec());
    }
    // `use super::*` is how an inline test module takes in its own file; elsewhere the house names what it imports.
    if path[ups..] == ["*"] {
        return None;
    }
    // One `super` too many comes from an inline module, whose own name is not in `module`: it then names this file's parent
    // or a sibling less far up, which is never further up than what is concluded here.
    let base = module.len().saturating_sub(ups);
    Some(module[..base].iter().map(|name| (*name).to_owned()).chain(path[ups..].iter().cloned()).collect())
}
