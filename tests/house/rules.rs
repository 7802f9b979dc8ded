//! The rules themselves, applied to the text of one file.
//!
//! Comments and string contents are blanked first; then paths are followed as the compiler would, including `super` and
//! braces, so that a rule cannot be walked around by writing a path out in the middle of a function.

use regex::Regex;

/// The floors of `src/core`; a file may import its own floor and those below.
const FLOORS: &[(&str, u8)] = &[
    ("error", 0),
    ("time", 0),
    ("ident", 0),
    ("secret", 0),
    ("sql", 0),
    ("text", 0),
    ("model", 1),
    ("permit", 1),
    ("observe", 1),
    ("system", 2),
    ("letters", 2),
    ("stores", 3),
    ("systems", 4),
    ("registry", 5),
    ("ops", 6),
];

/// Files that may name a stream.
const STREAM_FILES: &[&str] = &["cli/screen.rs", "cli/progress.rs"];

/// Words that a pure file (`verdict.rs`, `remedy.rs`, `why.rs` of a system) must not hold.
const IMPURE: &str = r"\b(tokio|tokio_postgres|rusqlite|async|await)\b";

/// Calls that take SQL first.
const SQL_CALLS: &str = r"\.\s*(query\w*|execute\w*|prepare\w*|batch_execute|simple_query)\s*\(\s*&?\s*format!";

/// A word of a suggested command that is taken from somewhere: what a database holds goes through `.id()` or `.option()`.
/// Names of this program's own (`state.name()`) are as good as literals.
const SUGGESTED: &str = r#"NextCommand::new\(\s*&\[[^\]]*&"#;

/// Calls that take a statement for PostgreSQL, and what a statement is that nothing in the search path can take over.
const SENT: &str = r"\.\s*(query_typed\w*|prepare_typed)\s*\(\s*([^,]*),";
const QUALIFIED: &str = r"(for_postgres|text)\(\)$";
/// The same for text of several statements: literals and these hold no function, or name where it is.
const BATCH: &str =
    r#"\.\s*batch_execute\s*\(\s*(\w+\s*\(|"|BEGIN|super::write::BEGIN|CONFIRM|ddl|\w+\.for_postgres)?"#;

/// What is wrong with the file at this path below `src`.
pub(crate) fn breaches(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if !text.starts_with("//!") {
        found.push(format!("{path}: does not begin with `//!`"));
    }
    let code = without_comments_and_strings(text);
    if !STREAM_FILES.contains(&path) && matches(r"\b(stdout|stderr)\s*\(\s*\)|\bio::(stdout|stderr)\b", &code) {
        found.push(format!("{path}: names a stream; only {STREAM_FILES:?} may"));
    }
    if matches(SQL_CALLS, &code) {
        found.push(format!("{path}: formats SQL; it is built from constants and quoted identifiers (core/sql.rs)"));
    }
    if path.starts_with("core/") && matches(SUGGESTED, &code) {
        found.push(format!(
            "{path}: a suggested command takes an id as a fixed word; `.id()` and `.option()` are for that"
        ));
    }
    if code.contains("query_typed") || code.contains("prepare_typed") || code.contains("batch_execute") {
        found.extend(unqualified(path, &code));
    }
    let Some(inside) = path.strip_prefix("core/").and_then(|rest| rest.strip_suffix(".rs")) else { return found };
    let module: Vec<&str> = inside.split('/').filter(|name| *name != "lib" && *name != "mod").collect();
    let Some(floor) = module.first().and_then(|name| floor_of(name)) else { return found };
    if let ["systems", _, "verdict" | "remedy" | "why", ..] = module[..] {
        let words = Regex::new(IMPURE).expect("the pattern is regular");
        found.extend(words.find_iter(&code).map(|word| format!("{path}: is pure, but says `{}`", word.as_str())));
    }
    for target in paths(&code, &module) {
        let mut names = target.iter().map(String::as_str);
        let Some(first) = names.next() else { continue };
        if floor_of(first).is_some_and(|other| other > floor) {
            found.push(format!("{path}: imports upward: {}", target.join("::")));
        }
        if let (["systems", own, ..], "systems", Some(other)) = (&module[..], first, names.next())
            && *own != other
        {
            found.push(format!("{path}: a system imports another: {}", target.join("::")));
        }
    }
    found
}

/// Statements that go to PostgreSQL as they stand.
fn unqualified(path: &str, code: &str) -> Vec<String> {
    let regular = |pattern| Regex::new(pattern).expect("the pattern is regular");
    let qualified = regular(QUALIFIED);
    let mut found = Vec::new();
    for call in regular(SENT).captures_iter(code) {
        if !qualified.is_match(call[2].trim()) {
            found.push(format!(
                "{path}: sends a statement to PostgreSQL as it stands: {} (Sql::for_postgres)",
                &call[0]
            ));
        }
    }
    for call in regular(BATCH).captures_iter(code) {
        if call.get(1).is_none() {
            found.push(format!("{path}: sends statements to PostgreSQL as they stand (Sql::for_postgres)"));
        }
    }
    found
}

fn floor_of(name: &str) -> Option<u8> {
    FLOORS.iter().find(|(known, _)| *known == name).map(|(_, floor)| *floor)
}

fn matches(pattern: &str, code: &str) -> bool {
    Regex::new(pattern).expect("the pattern is regular").is_match(code)
}

/// Every path in the code that begins with `crate` or `super`, from the crate's root; `a::{b, c}` is two.
fn paths(code: &str, module: &[&str]) -> Vec<Vec<String>> {
    let start = Regex::new(r"\b(crate|super)\s*::\s*").expect("the pattern is regular");
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
    let word = Regex::new(r"^\s*(\w+|\*)").expect("the pattern is regular");
    let colons = Regex::new(r"^\s*::").expect("the pattern is regular");
    let brace = Regex::new(r"^\s*\{").expect("the pattern is regular");
    let mut at = 0;
    loop {
        if let Some(open) = brace.find(&text[at..]) {
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
        let Some(name) = word.captures(&text[at..]) else { return at };
        prefix.push(name[1].to_owned());
        at += name[0].len();
        match colons.find(&text[at..]) {
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

/// The code with comments and the contents of strings blanked, line breaks kept.
fn without_comments_and_strings(text: &str) -> String {
    let skipped =
        Regex::new(r##"(?s)//[^\n]*|/\*.*?\*/|b?r#+".*?"#+|b?r"[^"]*"|b?"(?:\\.|[^"\\])*"|b?'(?:\\.[^']*|[^'\\])'"##)
            .expect("the pattern is regular");
    skipped
        .replace_all(text, |hit: &regex::Captures<'_>| if hit[0].starts_with('/') { " " } else { "\"\"" })
        .into_owned()
}
