//! What the facts amount to, on what evidence, and what to type next.

use serde::Serialize;

/// How much attention something needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Settled or healthy.
    Ok,
    /// Under way; nothing to do but wait.
    Pending,
    /// May need a person: look closer.
    Warning,
    /// Needs a person's decision.
    Critical,
}

impl Severity {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Pending => "pending",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// A command worth typing next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextCommand {
    /// The command, ready for a POSIX shell (arguments quoted).
    pub command: String,
    /// What it does here, a short clause.
    pub why: String,
}

impl NextCommand {
    /// Builds one from words; each word is quoted for a POSIX shell where that is needed.
    pub fn new(words: &[&str], why: impl Into<String>) -> Self {
        let quoted: Vec<String> = words.iter().map(|word| shell_word(word)).collect();
        Self { command: quoted.join(" "), why: why.into() }
    }
}

/// Quotes `word` for a POSIX shell when it holds anything a shell would interpret.
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The judgement of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The state's name in the system's vocabulary, lower snake case: `uncertain`, `alive`, …
    pub state: &'static str,
    /// How much attention it needs.
    pub severity: Severity,
    /// One sentence without a full stop.
    pub summary: String,
    /// The facts it rests on, and what cannot be known.
    pub evidence: Vec<String>,
    /// Commands worth typing next, the most useful first.
    pub next: Vec<NextCommand>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        let next = NextCommand::new(&["sen", "inspect", "it's $HOME", "", "a:b"], "look");
        assert_eq!(next.command, r#"sen inspect 'it'\''s $HOME' '' a:b"#);
    }
}
