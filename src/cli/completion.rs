//! The back end of the shells' completion: `sen __complete SHELL INDEX -- WORDS`, called by the scripts of `sen completions`.
//! clap's engine finds the argument that is being typed; its values come from the database where it declares any.
//!
//! Prints candidates only: an error must not appear while a command is typed.

pub mod install;
pub mod live;
pub mod script;

use std::ffi::{OsStr, OsString};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use clap::FromArgMatches as _;
use clap_complete::CompletionCandidate;
use clap_complete::engine::{ArgValueCompleter, complete};
use sen_core::ops;
use sen_core::registry::{self, Access};
use tokio::time::Instant;

use crate::args::Globals;
use crate::clean::hidden;
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::screen::Screen;
use crate::screen::terminal::ColorChoice;
use crate::session::{CommandLine, Session};
use crate::settings::NO_FILE;
use live::{Completes, Live};
use script::Shell;

/// The first word of such a question. It is no command of clap's: no other run of the program pays for it.
pub const WORD: &str = "__complete";

/// The time limit, including connecting. Longer is too slow while typing.
const PATIENCE: Duration = Duration::from_millis(150);
/// The limit of one statement: the server must not go on after completion has given up.
const STATEMENT: Duration = Duration::from_millis(120);
/// The options that choose the database and how it is read.
const NAMING: &[&str] = &["--database-url", "--redis-url", "--env-file", "--worker-timezone"];
/// The maximum number of candidates.
const MOST: u32 = 50;

/// Answers the question in `arguments`, whose first is the program's own name.
pub fn answer(arguments: &[OsString], tree: clap::Command, screen: &Screen) -> Exit {
    let begun = Instant::now();
    let text = candidates(arguments, tree, begun).unwrap_or_default();
    drop(screen.print(text));
    Exit::Done
}

fn candidates(arguments: &[OsString], tree: clap::Command, begun: Instant) -> Option<String> {
    let [_, _, shell, index, dashes, words @ ..] = arguments else { return None };
    if dashes != "--" {
        return None;
    }
    let shell = Shell::parse(shell.to_str()?)?;
    let index: usize = index.to_str()?.parse().ok()?;
    let typed = words.get(index).cloned().unwrap_or_default();
    let mut words: Vec<OsString> = words.iter().map(|word| shell.unquoted(word)).collect();
    words.resize(index.checked_add(1).filter(|length| *length < 10_000)?, OsString::new());

    let asker = Arc::new(Asker { begun, words: words.clone() });
    let mut root = live(tree, &asker);
    let here = std::env::current_dir().ok();
    let mut found = complete(&mut root, words.clone(), index, here.as_deref()).ok()?;
    // Options are offered when one was begun, or when nothing else fits.
    let word = words.last().map(OsString::as_os_str).unwrap_or_default();
    if word.is_empty() && found.iter().any(|candidate| !is_option(candidate)) {
        found.retain(|candidate| !is_option(candidate));
    }
    Some(shell.candidates(
        &typed,
        found.iter().filter(|candidate| !candidate.is_hide_set()).filter_map(|candidate| {
            // A candidate is one line: a value with a control character cannot be typed anyway.
            let value = candidate.get_value().to_str().filter(|value| !value.contains(hidden))?;
            let help = candidate.get_help().map(|help| help.to_string().lines().next().unwrap_or_default().to_owned());
            Some((value.to_owned(), help.unwrap_or_default()))
        }),
    ))
}

fn is_option(candidate: &CompletionCandidate) -> bool {
    candidate.get_value().to_string_lossy().starts_with('-')
}

/// The command with a source of live values at every argument that says what completes it.
fn live(command: clap::Command, asker: &Arc<Asker>) -> clap::Command {
    let command = command.mut_args(|arg| match arg.get::<Completes>() {
        Some(Completes(kind)) => {
            let (kind, asker) = (*kind, Arc::clone(asker));
            arg.add(ArgValueCompleter::new(move |word: &OsStr| asker.ask(kind, word)))
        }
        None => arg,
    });
    command.mut_subcommands(|inner| live(inner, asker))
}

/// How long an answer and a statement may take. What is answered must not depend on how fast the machine of a test is; a release
/// has no such switch.
fn limits() -> (Duration, Duration) {
    #[cfg(debug_assertions)]
    if std::env::var_os("SEN_DEBUG_PATIENCE").is_some() {
        return (Duration::from_secs(120), Duration::from_secs(100));
    }
    (PATIENCE, STATEMENT)
}

/// Queries the database, if there is one.
struct Asker {
    begun: Instant,
    words: Vec<OsString>,
}

impl Asker {
    fn ask(&self, kind: Live, word: &OsStr) -> Vec<CompletionCandidate> {
        let Some(prefix) = word.to_str() else { return Vec::new() };
        self.values(kind, prefix).unwrap_or_default().into_iter().map(CompletionCandidate::new).collect()
    }

    fn values(&self, kind: Live, prefix: &str) -> Option<Vec<String>> {
        let (patience, statement) = limits();
        let left = patience.checked_sub(self.begun.elapsed())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        let values = runtime.block_on(async {
            tokio::time::timeout(left, async {
                let screen = Rc::new(Screen::new(ColorChoice::Never, true, &|_| None));
                let session = Session::new(self.globals()?, CommandLine::NONE, screen, Rc::new(Interrupt::default()));
                let (target, beside) = session.targets().ok()?;
                // A program that prints a password may ask a person for another one, or take its time.
                if target.asks_program() || beside.as_ref().is_some_and(|info| info.password_command.is_some()) {
                    return None;
                }
                let settings = registry::Settings { limit: Some(statement), ..session.settings().ok()? };
                let mut database = registry::open_with(&target, Access::Watch, settings).await.ok()?;
                if let Some(info) = &beside {
                    database.beside(info, Some(statement));
                }
                Some(ops::complete::complete(&database, kind, prefix, MOST).await)
            })
            .await
        });
        // The process does not wait for a name look-up or for a thread that waits for a lock.
        runtime.shutdown_background();
        values.ok().flatten()
    }

    /// What the words typed so far say of the database.
    fn globals(&self) -> Option<Globals> {
        let mut line = vec![OsString::from("sen")];
        let mut words = self.words.iter();
        while let Some(word) = words.next() {
            let text = word.to_string_lossy();
            if NAMING.contains(&&*text) {
                line.push(word.clone());
                line.push(words.next()?.clone());
            } else if text.split_once('=').is_some_and(|(name, _)| NAMING.contains(&name)) {
                line.push(word.clone());
            } else if text == "--" {
                break;
            }
        }
        let command = <Globals as clap::Args>::augment_args(clap::Command::new("sen"));
        let matches = command.try_get_matches_from(line).ok()?;
        let mut globals = Globals::from_arg_matches(&matches).ok()?;
        // Pressing TAB in a folder must not connect to the database that its .env names.
        globals.env_file.get_or_insert_with(|| NO_FILE.into());
        Some(globals)
    }
}
