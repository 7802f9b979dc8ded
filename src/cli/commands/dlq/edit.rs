//! Other arguments for a dead letter: from the command line, from a file, or from the operator's editor.

use std::path::{Path, PathBuf};

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::letters::{ArgumentEdit, Arguments, LetterFilter};
use sen_core::model::document::{Document, Part, path, path_text};
use sen_core::model::ident::OperationId;
use sen_core::text::named;

use super::filter::{DeadLetterSystem, any};
use crate::consent;
use crate::plans;
use crate::session::Session;

/// Above the options that edit.
const EDIT: &str = "Other arguments";

/// How the arguments are changed.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct EditOptions {
    /// Edit the arguments in $VISUAL or $EDITOR first; unchanged or empty, nothing is done
    #[arg(long, help_heading = EDIT, conflicts_with_all = ["set", "args"])]
    pub edit: bool,

    /// Replace a value: .amount=12.5, .items[0].id=7, [0]=order-8; can be repeated
    #[arg(long, help_heading = EDIT, value_name = "PATH=VALUE", conflicts_with = "args")]
    pub set: Vec<String>,

    /// Replace the arguments: JSON like {"args": [...], "kwargs": {...}}, or @FILE
    #[arg(long, help_heading = EDIT, value_name = "JSON|@FILE")]
    pub args: Option<String>,
}

impl EditOptions {
    /// Whether anything is edited.
    pub fn any(&self) -> bool {
        self.edit || !self.set.is_empty() || self.args.is_some()
    }

    /// Refuses an edit of more than one letter, or, with `--set`, one group.
    ///
    /// # Errors
    /// `Usage`.
    pub fn must_be_of_one(&self, ids: &[String], groups: &[String], all: bool) -> Result<()> {
        let one = ids.len() == 1 && groups.is_empty() && !all;
        let group = ids.is_empty() && groups.len() == 1 && !all;
        if !self.any() || one || (group && !self.set.is_empty()) {
            return Ok(());
        }
        let what = if self.set.is_empty() { "one dead letter by its id" } else { "one dead letter, or one group" };
        Err(Error::usage(format!("arguments are edited of {what}")))
    }

    /// What is wanted of the letters; `None` where nothing is edited.
    ///
    /// # Errors
    /// `Usage` for what cannot be read; `Refused` where the editor left them as they are.
    pub async fn wanted(
        &self,
        ids: &[String],
        systems: &[DeadLetterSystem<'_>],
        session: &Session,
    ) -> Result<Option<ArgumentEdit>> {
        if let Some(text) = &self.args {
            let text = match text.strip_prefix('@') {
                Some(file) => read(Path::new(file))?,
                None => text.clone(),
            };
            return Ok(Some(ArgumentEdit::Whole { text, seen: None }));
        }
        if !self.set.is_empty() {
            let values = self.set.iter().map(|text| assignment(text, session)).collect::<Result<_>>()?;
            return Ok(Some(ArgumentEdit::Set(values)));
        }
        let [id] = ids else { return Ok(None) };
        if !self.edit {
            return Ok(None);
        }
        let Some((seen, text)) = arguments(systems, id).await? else {
            return Err(Error::new(ErrorKind::NotFound, format!("no dead letter {}", named(id)))
                .with_hint("sen dlq list   # the dead letters"));
        };
        let text = edited(&text, session)?;
        Ok(Some(ArgumentEdit::Whole { text, seen: Some(seen) }))
    }
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file)
        .map_err(|error| Error::new(ErrorKind::Io, format!("cannot read {}", file.display())).with_source(error))
}

/// The arguments of a letter, in the system that has it.
async fn arguments(systems: &[DeadLetterSystem<'_>], id: &str) -> Result<Option<(Arguments, String)>> {
    let filter = LetterFilter { ids: vec![id.to_owned()], ..LetterFilter::default() };
    for (_, letters) in systems {
        if systems.len() == 1 || any(*letters, &filter).await? {
            return letters.arguments(id).await;
        }
    }
    Ok(None)
}

/// `PATH=VALUE`: the path from the root, and the value as JSON text.
fn assignment(text: &str, session: &Session) -> Result<(Vec<Part>, String)> {
    let (path, value, is_text) = parsed(text)?;
    if is_text {
        session.note(format!("the value of {} is no JSON: it is taken as the text {value}", path_text(&path)));
    }
    Ok((path, value))
}

fn parsed(text: &str) -> Result<(Vec<Part>, String, bool)> {
    let hint = "write it like .amount=12.5, .items[0].id=7, .kwargs[\"odd name\"]=true or [0]=order-8";
    let bad = |what: String| Error::usage(format!("--set {text}: {what}")).with_hint(hint);
    let (mut parts, rest) = path(text).map_err(bad)?;
    let value = rest.strip_prefix('=').filter(|_| !parts.is_empty());
    let value = value.ok_or_else(|| bad("a path, = and a value are expected".into()))?;
    // An argument is meant by its place, or by its name.
    match parts.first() {
        Some(Part::Field(name)) if name == "args" || name == "kwargs" => {}
        Some(Part::Field(_)) => parts.insert(0, Part::Field("kwargs".into())),
        _ => parts.insert(0, Part::Field("args".into())),
    }
    Ok(match Document::parse(value) {
        Ok(_) => (parts, value.trim().to_owned(), false),
        Err(_) => (parts, Document::string(value).text(), true),
    })
}

/// A file that only the operator can read, gone when it is dropped.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// The text as the operator's editor left it.
fn edited(text: &str, session: &Session) -> Result<String> {
    use std::io::Write as _;
    let unchanged = || Error::new(ErrorKind::Refused, "the arguments are unchanged; nothing was written");
    let scratch = Scratch(std::env::temp_dir().join(format!("sen-{}.json", OperationId::fresh())));
    let failed = |error| {
        Error::new(ErrorKind::Io, format!("cannot write {}", scratch.0.display())).with_source(error)
    };
    plans::create(&scratch.0).and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)?;
    loop {
        run(&scratch.0)?;
        let left = read(&scratch.0)?;
        if left.trim().is_empty() || left == text {
            return Err(unchanged());
        }
        match Document::parse(&left) {
            Ok(_) => return Ok(left),
            Err(error) if session.can_ask() => {
                if !consent::confirmed(&format!("This is no JSON: {error}. Edit it again?"), true)? {
                    return Err(unchanged());
                }
            }
            Err(error) => return Err(Error::usage(format!("the edited arguments are no JSON: {error}"))),
        }
    }
}

/// Runs the operator's editor, which can be a command with options.
fn run(file: &Path) -> Result<()> {
    let chosen = ["VISUAL", "EDITOR"].into_iter().find_map(|name| std::env::var(name).ok().filter(|set| !set.is_empty()));
    let editor = chosen.unwrap_or_else(|| "vi".into());
    let mut command = std::process::Command::new("sh");
    command.arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(file);
    let refused = |what: String| {
        Error::new(ErrorKind::Refused, format!("{what}; nothing was written")).with_hint("set VISUAL or EDITOR to another editor")
    };
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(refused(format!("the editor ({editor}) failed: {status}"))),
        Err(error) => Err(refused(format!("the editor ({editor}) could not be started")).with_source(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_json_or_text() {
        let read = |text: &str| parsed(text).map(|(path, value, is_text)| (path_text(&path), value, is_text));
        for (text, path, value, is_text) in [
            (".amount=12.5", ".kwargs.amount", "12.5", false),
            ("[0]=order-8", ".args[0]", "\"order-8\"", true),
            (".args[1].a={\"b\": [1]}", ".args[1].a", "{\"b\": [1]}", false),
            (".kwargs.args=null", ".kwargs.args", "null", false),
            (".url=a=b", ".kwargs.url", "\"a=b\"", true),
            (".n=\"12\"", ".kwargs.n", "\"12\"", false),
            (".n=", ".kwargs.n", "\"\"", true),
            ("[\"odd = name\"]=true", ".kwargs[\"odd = name\"]", "true", false),
        ] {
            assert_eq!(read(text).unwrap(), (path.into(), value.into(), is_text));
        }
        for bad in ["amount=1", ".amount", "=1", "", ".a]=1", "[x]=1"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
