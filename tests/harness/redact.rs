//! Replaces what differs from run to run by names, so that the rest can be compared word by word.

use std::sync::OnceLock;

use regex::Regex;

/// Patterns in the order they apply: the longer and more specific first.
const PATTERNS: &[(&str, &str)] = &[
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?(Z|UTC|[+-]\d\d(:?\d\d)?))?", "<time>"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<uuid>"),
    (r"\b[\w.-]+:\d+-\d+\b", "<owner>"),
    (r#"("(?:fencing_token|seen_token|token)"\s*:\s*)"\d+""#, r#"$1"<token>""#),
    (r"\b(token\s*[=:]?\s*)\d+\b", "$1<token>"),
    (r"\.s\.PGSQL\.\d+", ".s.PGSQL.<port>"),
    (r"\bport=\d+", "port=<port>"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:<port>"),
    (r"\btest_\d+\b", "<database>"),
    (r"\bsen \d+\.\d+\.\d+\b", "sen <version>"),
    (r"\bcommit ([0-9a-f]{7,12}|unknown)\b", "commit <commit>"),
    (r"\bPostgreSQL \d+(\.\d+)?( \([^)]*\))?", "PostgreSQL <version>"),
    (r"\b\d+(\.\d+)?(ms|us|µs|ns|s|m|h|d)( ?\d+(\.\d+)?(ms|us|µs|ns|s|m|h|d))*( ago)?\b", "<duration>"),
];

/// The text with everything fleeting replaced.
pub fn redact(text: &str) -> String {
    let mut text = temp_paths().replace_all(text, "<temp>").into_owned();
    static COMPILED: OnceLock<Vec<(Regex, &str)>> = OnceLock::new();
    let compiled = COMPILED.get_or_init(|| {
        PATTERNS.iter().map(|(pattern, name)| (Regex::new(pattern).expect("the patterns are regular"), *name)).collect()
    });
    for (pattern, name) in compiled {
        text = pattern.replace_all(&text, *name).into_owned();
    }
    text
}

/// Matches a folder or file below the temporary folder, up to what cannot be part of a path in a message.
fn temp_paths() -> &'static Regex {
    static COMPILED: OnceLock<Regex> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let base = std::env::temp_dir().to_string_lossy().trim_end_matches('/').to_owned();
        Regex::new(&format!(r#"{}/(sen-|\.tmp)[^/\s"'&:,;)]*"#, regex::escape(&base))).expect("the pattern is regular")
    })
}
