//! The commands: one file each. A doc comment is the help text; nothing prints here.

pub mod act;
pub mod begun;
pub mod brakes;
pub mod followed;
pub mod page;
pub mod pick;
pub mod related;
pub mod reported;
pub mod show;

use clap::Subcommand;
use sen_core::error::Result;

use crate::session::Session;
use crate::views::CommandOutput;

/// Declares every command, once, in the groups of the help: its module, with `Args` and `run`, and its name.
macro_rules! commands {
    ($($group:literal: $($(#[$condition:meta])* $variant:ident in $module:ident,)+;)+) => {
        $($($(#[$condition])* pub mod $module;)+)+

        /// Every command, in the order of the help.
        #[derive(Debug, Subcommand)]
        pub enum Command {
            $($($(#[$condition])* $variant(Box<$module::Args>),)+)+
        }

        /// The groups of the help, each with the names of its commands.
        pub fn groups() -> Vec<(&'static str, Vec<&'static str>)> {
            vec![$(($group, vec![$($(#[$condition])* stringify!($module),)+]),)+]
        }

        /// One command by name, described to clap without the others.
        pub fn alone(name: &str) -> Option<clap::Command> {
            $($($(#[$condition])* if name == stringify!($module) {
                return Some(<$module::Args as clap::Args>::augment_args(clap::Command::new(stringify!($module))));
            })+)+
            None
        }

        impl Command {
            /// Runs it.
            pub async fn run(self, session: &Session) -> Result<CommandOutput> {
                match self {
                    // Boxed, so that the enum is not as large as its largest variant.
                    $($($(#[$condition])* Self::$variant(args) => Box::pin($module::run(*args, session)).await,)+)+
                }
            }
        }
    };
}

commands! {
    "Look":
        Status in status,
        Watch in watch,
        Inspect in inspect,
        Why in why,
        List in list,
        History in history,
        Timeline in timeline,
        Report in report,
        Task in task,
        Stats in stats,
        Doctor in doctor,
        Metrics in metrics,
    ;
    "Act":
        Reconcile in reconcile,
        Release in release,
        Forget in forget,
        Dlq in dlq,
        Exec in exec,
        Saga in saga,
        Agent in agent,
        Apply in apply,
        Op in op,
        Undo in undo,
    ;
    "Run":
        Once in once,
        Wait in wait,
    ;
    "Set up":
        Init in init,
        Grants in grants,
        Context in context,
        #[cfg(feature = "sqlite")]
        Demo in demo,
        Completions in completions,
        Man in man,
        Help in help,
    ;
}

impl Command {
    /// Whether it decides itself what a signal means.
    pub fn hears_signals(&self) -> bool {
        matches!(self, Self::Once(_))
    }
}

/// The commands whose answer is flat rows, which `-o csv` can print. Named by their words, so that a command that is not named
/// here is refused before it does anything.
const LISTS: &[&[&str]] = &[
    &["watch"],
    &["list"],
    &["history"],
    &["timeline"],
    &["dlq", "list"],
    &["dlq", "groups"],
    &["exec", "list"],
    &["task", "list"],
    &["saga", "list"],
    &["saga", "outbox", "list"],
    &["saga", "inbox", "list"],
    &["agent", "list"],
    &["agent", "costs"],
    &["agent", "workers"],
    &["agent", "events"],
    &["agent", "rate-limit", "get"],
    &["op", "list"],
    &["context", "list"],
];

/// Whether the command of these words lists flat rows.
pub fn is_list(words: &[String]) -> bool {
    LISTS.iter().any(|known| *known == words)
}
