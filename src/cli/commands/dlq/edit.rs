//! Other arguments for a dead letter: from the command line, from a file, or from the operator's editor.

use std::io::Read as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::letters::{ArgumentEdit, Arguments, LetterFilter};
use sen_core::model::document::{Document, Part, path, path_text};
use sen_core::model::ident::OperationId;
use sen_core::model::verdict::shell_word;
use sen_core::text::named;

use super::filter::{DeadLetterSystem, any};
use crate::consent;
use crate::session::Session;
use crate::files;

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

    /// Refuses an editor that nobody sits at, and one whose work would be thrown away for want of consent.
    ///
    /// # Errors
    /// `Usage` with `--no-input`; `Refused` where nobody can be asked and nothing was `consented` to in advance.
    pub fn must_have_an_editor(&self, consented: bool, session: &Session) -> Result<()> {
        if !self.edit || session.can_ask() {
            return Ok(());
        }
        if session.globals.no_input {
            return Err(Error::usage("--edit asks for input, which --no-input forbids").with_hint("use --set or --args"));
        }
        if consented {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Refused, "nobody can be asked without a terminal; nothing was edited or written")
            .with_hint("pass --yes, or look at the plan with --dry-run"))
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
    ) -> Result<Option<(ArgumentEdit, Option<Scratch>)>> {
        if let Some(text) = &self.args {
            let text = match text.strip_prefix('@') {
                Some(file) => read(Path::new(file))?,
                None => text.clone(),
            };
            return Ok(Some((ArgumentEdit::Whole { text, seen: None }, None)));
        }
        if !self.set.is_empty() {
            let values = self.set.iter().map(|text| assignment(text, session)).collect::<Result<_>>()?;
            return Ok(Some((ArgumentEdit::Set(values), None)));
        }
        let [id] = ids else { return Ok(None) };
        if !self.edit {
            return Ok(None);
        }
        let Some((seen, text)) = arguments(systems, id).await? else {
            return Err(Error::new(ErrorKind::NotFound, format!("no dead letter {}", named(id)))
                .with_hint("sen dlq list   # the dead letters"));
        };
        let (text, scratch) = edited(&text, session)?;
        Ok(Some((ArgumentEdit::Whole { text, seen: Some(seen) }, Some(scratch))))
    }
}

/// No arguments are longer: a file that never ends must not fill the memory.
const LONGEST: u64 = 64 << 20;

fn read(file: &Path) -> Result<String> {
    let failed = files::cannot("read", file);
    let kind = std::fs::metadata(file).map_err(failed)?.file_type();
    if !kind.is_file() && !kind.is_fifo() {
        return Err(Error::usage(format!("{} is neither a file nor a pipe", file.display())));
    }
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(failed)?;
    opened.take(LONGEST + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > LONGEST {
        return Err(Error::usage(format!("{} is longer than {} MiB", file.display(), LONGEST >> 20)));
    }
    Ok(text)
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
        session.note(format!("the value of {} is no JSON: it is taken as a text", path_text(&path)));
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
        Err(error) if error.is_json() => {
            return Err(Error::usage(format!("--set: the value of {} is {error}", path_text(&parts))));
        }
        Err(_) => (parts, Document::string(value).text(), true),
    })
}

/// A file that only the operator can read, gone when it is dropped, and when a signal ends the program while the editor runs.
pub struct Scratch {
    file: PathBuf,
    /// Whether this thread waits for the editor, so that a signal is not heard by what else listens.
    editing: Arc<AtomicBool>,
}

impl Scratch {
    /// Keeps what it holds for the operator, and says how it is used.
    pub fn kept(self) -> String {
        let path = std::mem::take(&mut std::mem::ManuallyDrop::new(self).file);
        let file = shell_word(&path.to_string_lossy());
        format!("the edited arguments are kept: edit {file} and pass it with --args @{file}")
    }

    /// Listens on a thread of its own: this one waits for the editor. An interrupt is the editor's own affair.
    fn goes_with_the_program(&self) -> Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let failed = |error| Error::new(ErrorKind::Internal, "cannot listen for signals").with_source(error);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (mut term, mut hangup) = {
            let _inside = runtime.enter();
            (signal(SignalKind::terminate()).map_err(failed)?, signal(SignalKind::hangup()).map_err(failed)?)
        };
        let (file, editing) = (self.file.clone(), Arc::clone(&self.editing));
        std::thread::spawn(move || {
            let code = runtime.block_on(async {
                loop {
                    let code = tokio::select! {
                        _ = term.recv() => 143,
                        _ = hangup.recv() => 129,
                    };
                    if editing.load(Ordering::SeqCst) {
                        return code;
                    }
                }
            });
            drop(std::fs::remove_file(file));
            #[expect(clippy::disallowed_methods, reason = "the signal ends the program at once, as without this thread")]
            std::process::exit(code)
        });
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.file));
    }
}

/// The text as the operator's editor left it, and the file that it stands in.
fn edited(text: &str, session: &Session) -> Result<(String, Scratch)> {
    use std::io::Write as _;
    let unchanged = || Error::new(ErrorKind::Refused, "the arguments are unchanged; nothing was written");
    let file = std::env::temp_dir().join(format!("sen-{}.json", OperationId::fresh()));
    let scratch = Scratch { file, editing: Arc::new(AtomicBool::new(true)) };
    // Before it is there: from its first moment it goes with the program.
    scratch.goes_with_the_program()?;
    let failed = files::cannot("write", &scratch.file);
    files::create(&scratch.file).and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)?;
    loop {
        run(&scratch.file, session)?;
        let left = read(&scratch.file)?;
        if left.trim().is_empty() || left == text {
            return Err(unchanged());
        }
        match Document::parse(&left) {
            Ok(_) => {
                scratch.editing.store(false, Ordering::SeqCst);
                return Ok((left, scratch));
            }
            Err(error) if session.can_ask() => {
                if !consent::confirmed(&format!("This is {error}. Edit it again?"), true)? {
                    return Err(unchanged());
                }
            }
            Err(error) => {
                return Err(Error::usage(format!("the edited arguments are {error}; nothing was written"))
                    .with_hint(scratch.kept()));
            }
        }
    }
}

/// Runs the operator's editor, which can be a command with options.
fn run(file: &Path, session: &Session) -> Result<()> {
    let chosen = ["VISUAL", "EDITOR"].into_iter().find_map(|name| std::env::var(name).ok().filter(|set| !set.is_empty()));
    let usual = || session.can_ask().then(|| "vi".to_owned());
    let Some(editor) = chosen.or_else(usual) else {
        return Err(Error::new(ErrorKind::Refused, "no editor is named, and there is no terminal for vi; nothing was written")
            .with_hint("set VISUAL or EDITOR, or use --set or --args"));
    };
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
        let deep = format!("[0]={}{}", "[".repeat(65), "]".repeat(65));
        let refused = parsed(&deep).unwrap_err().to_string();
        assert_eq!(refused, "--set: the value of .args[0] is nested deeper than 64 levels");
        for bad in ["amount=1", ".amount", "=1", "", ".a]=1", "[x]=1"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
