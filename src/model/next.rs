//! Commands worth typing next, ready for a shell.

use std::sync::OnceLock;

use crate::text::{mark, shell_word};
use crate::value::Value;

/// What a command does about what is wrong, in the order in which several commands are safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Shows what must be known before anything is done: whether a worker lives, why the same error comes each time.
    Observe,
    /// Records what an uncertain piece of work came to.
    Settle,
    /// Ends work that would otherwise go on by itself, or is not wanted.
    Stop,
    /// Lets work run again, go on or roll back.
    Run,
    /// Gives work up, or takes it from a worker that may live.
    GiveUp,
    /// Lets work run again that would probably fail again.
    RunDespite,
    /// Shows more.
    Look,
}

/// A command worth typing next.
///
/// Fixed words go into [`Self::new`]; whatever comes from a database goes through [`Self::id`] or [`Self::option`], which
/// see to it that it is read as an id or as a value, whatever it looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextCommand {
    /// The command, ready for a POSIX shell (arguments quoted).
    pub command: String,
    /// What it does here, a short clause.
    pub why: String,
    /// What it does about what is wrong.
    pub purpose: Purpose,
    /// Its step among several (see [`crate::steps`]): those of the same step are alternatives. None where it only shows more,
    /// or as long as it was not put in order.
    pub step: Option<u32>,
    words: Vec<Word>,
}

/// A word of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    raw: String,
    quoted: String,
    /// Whether it says how the database was chosen.
    chosen: bool,
    /// Set for an id; whether it would be read as an option without `--` before it.
    id: Option<bool>,
}

impl Word {
    fn new(raw: &str) -> Self {
        Self { raw: raw.to_owned(), quoted: shell_word(raw), chosen: false, id: None }
    }

    /// A mark, which no shell and no `sen` takes for a word.
    fn mark(what: &str) -> Self {
        Self { raw: mark(what), quoted: mark(what), chosen: false, id: None }
    }
}

/// The options that chose the database, for the commands that are suggested.
static CHOSEN_BY: OnceLock<Vec<String>> = OnceLock::new();

impl NextCommand {
    /// Builds one from fixed words; each is quoted for a shell where that is needed.
    pub fn new(words: &[&str], why: impl Into<String>) -> Self {
        let mut quoted: Vec<Word> = words.iter().map(|word| Word::new(word)).collect();
        let chosen = CHOSEN_BY.get().filter(|_| words.first() == Some(&"sen")).map_or(&[][..], Vec::as_slice);
        if !chosen.is_empty() {
            quoted.splice(1..1, chosen.iter().map(|word| Word { chosen: true, ..Word::new(word) }));
        }
        Self { command: String::new(), why: why.into(), purpose: Purpose::Look, step: None, words: quoted }.written()
    }

    /// As data.
    pub fn value(&self) -> Value {
        Value::Map(vec![
            ("command", Value::Text(self.command.clone())),
            ("why", Value::Text(self.why.clone())),
            ("step", self.step.map_or(Value::Null, |step| Value::Int(step.into()))),
        ])
    }

    /// The same for another purpose than to look.
    #[must_use]
    pub fn purpose(mut self, purpose: Purpose) -> Self {
        self.purpose = purpose;
        self
    }

    /// The same in this step.
    #[must_use]
    pub fn in_step(mut self, step: Option<u32>) -> Self {
        self.step = step;
        self
    }

    /// With these options right behind `sen` in every command that is built from now on: how the operator named the
    /// database (`--database-url`, …), without passwords. The first call decides.
    pub fn chosen_by(options: Vec<String>) {
        // A second call comes from a command that is repeated, with the same options.
        drop(CHOSEN_BY.set(options));
    }

    /// The same with `id` (a key, an id, any argument that is no option) behind it, kept apart by `--` where it would be
    /// read as an option.
    #[must_use]
    pub fn id(mut self, id: &str) -> Self {
        self.words.push(Word { id: Some(id.starts_with('-')), ..Word::new(id) });
        self.written()
    }

    /// The same with more fixed words.
    #[must_use]
    pub fn with(mut self, words: &[&str]) -> Self {
        self.words.extend(words.iter().map(|word| Word::new(word)));
        self.written()
    }

    /// The same with a mark behind it for an argument that only the operator knows: `‹json›`.
    #[must_use]
    pub fn mark(mut self, what: &str) -> Self {
        self.words.push(Word { id: Some(false), ..Word::mark(what) });
        self.written()
    }

    /// The same with an option whose value only the operator knows: `--reason ‹reason›`.
    #[must_use]
    pub fn option_mark(mut self, name: &str, what: &str) -> Self {
        self.words.extend([Word::new(name), Word::mark(what)]);
        self.written()
    }

    /// The same with an option and its value.
    #[must_use]
    pub fn option(mut self, name: &str, value: &str) -> Self {
        if value.starts_with('-') {
            let quoted = format!("{name}={}", shell_word(value));
            self.words.push(Word { quoted, ..Word::new(&format!("{name}={value}")) });
        } else {
            self.words.extend([Word::new(name), Word::new(value)]);
        }
        self.written()
    }

    /// With [`Self::command`] as the words say.
    fn written(mut self) -> Self {
        let quoted = self.ordered().into_iter().map(|word| word.map_or("--", |word| word.quoted.as_str()));
        self.command = quoted.collect::<Vec<_>>().join(" ");
        self
    }

    /// Ids stand where they were put, but behind everything else and a `--` (`None`) where one of them begins with a dash.
    fn ordered(&self) -> Vec<Option<&Word>> {
        let dashed = self.words.iter().any(|word| word.id == Some(true));
        let options = self.words.iter().filter(|word| !dashed || word.id.is_none()).map(Some);
        let ids = self.words.iter().filter(|word| dashed && word.id.is_some()).map(Some);
        options.chain(dashed.then_some(None)).chain(ids).collect()
    }

    /// The ids in it, a NUL between them.
    pub(crate) fn ids(&self) -> String {
        let ids: Vec<&str> = self.words.iter().filter(|word| word.id.is_some()).map(|word| word.raw.as_str()).collect();
        ids.join("\0")
    }

    /// Its words as a program takes them, without those that say how the database was chosen.
    pub fn words(&self) -> Vec<String> {
        let words = self.ordered().into_iter().filter(|word| word.is_none_or(|word| !word.chosen));
        words.map(|word| word.map_or("--", |word| word.raw.as_str()).to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_never_options() {
        let of =
            |id: &str| NextCommand::new(&["sen", "dlq", "discard"], "").id(id).option_mark("--export", "file").command;
        assert_eq!(of("a:b"), "sen dlq discard a:b --export ‹file›");
        assert_eq!(of("--all"), "sen dlq discard --export ‹file› -- --all");
        assert_eq!(of("it's $HOME"), r#"sen dlq discard 'it'\''s $HOME' --export ‹file›"#);
        let two = NextCommand::new(&["sen", "exec", "signal"], "").id("e1").id("-s").mark("json").command;
        assert_eq!(two, "sen exec signal -- e1 -s ‹json›");
        let owner = |owner: &str| NextCommand::new(&["sen", "list"], "").option("--owner", owner).command;
        assert_eq!(owner("web 1"), "sen list --owner 'web 1'");
        assert_eq!(owner("--all"), "sen list --owner=--all");
        let words = NextCommand::new(&["sen", "forget"], "").id("-it's").with(&["--yes"]).words();
        assert_eq!(words, ["sen", "forget", "--yes", "--", "-it's"]);
    }
}
