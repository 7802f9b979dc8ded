//! The rules themselves, applied to the text of one file.
//!
//! Comments and string contents are blanked first. Which crate may import which stands in their `Cargo.toml`.

use regex::Regex;

/// Files that may name a stream.
const STREAM_FILES: &[&str] = &["cli/screen.rs", "cli/progress.rs"];

/// Words that a pure file (`state.rs`, `verdict.rs`, `rules.rs`, `why.rs` of a system, and what is below them) must not hold.
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
    r#"\.\s*batch_execute\s*\(\s*(\w+\s*\(|"|BEGIN|begin\.as_str|super::limits::BEGIN|CONFIRM|ddl|\w+\.for_postgres)?"#;

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
        found.push(format!("{path}: formats SQL; it is built from constants and quoted identifiers (stores/sql.rs)"));
    }
    if !path.starts_with("cli/") && matches(SUGGESTED, &code) {
        found.push(format!(
            "{path}: a suggested command takes an id as a fixed word; `.id()` and `.option()` are for that"
        ));
    }
    if path.starts_with("core/") && matches(r"\bcolumns?\b", &code) {
        found.push(format!("{path}: reads a table by its columns; a use case asks the system a typed question"));
    }
    if !path.starts_with("cli/") && matches(r"Map<\s*OperationId\b", &code) {
        found.push(format!("{path}: keeps something between plan and apply; a plan is a value"));
    }
    if code.contains("query_typed") || code.contains("prepare_typed") || code.contains("batch_execute") {
        found.extend(unqualified(path, &code));
    }
    let module: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
    if let ["systems", _, "state" | "verdict" | "rules" | "why", ..] = module[..] {
        let words = Regex::new(IMPURE).expect("the pattern is regular");
        found.extend(words.find_iter(&code).map(|word| format!("{path}: is pure, but says `{}`", word.as_str())));
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

fn matches(pattern: &str, code: &str) -> bool {
    Regex::new(pattern).expect("the pattern is regular").is_match(code)
}

/// The code with comments and the contents of strings blanked, line breaks kept.
pub(crate) fn without_comments_and_strings(text: &str) -> String {
    let skipped =
        Regex::new(r##"(?s)//[^\n]*|/\*.*?\*/|b?r#+".*?"#+|b?r"[^"]*"|b?"(?:\\.|[^"\\])*"|b?'(?:\\.[^']*|[^'\\])'"##)
            .expect("the pattern is regular");
    skipped
        .replace_all(text, |hit: &regex::Captures<'_>| if hit[0].starts_with('/') { " " } else { "\"\"" })
        .into_owned()
}
