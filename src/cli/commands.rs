//! The commands: one file each. A doc comment is the help text; nothing prints here.

pub mod act;
pub mod agent;
pub mod completions;
#[cfg(feature = "sqlite")]
pub mod demo;
pub mod dlq;
pub mod doctor;
pub mod exec;
pub mod forget;
pub mod grants;
pub mod help;
pub mod history;
pub mod ids;
pub mod init;
pub mod inspect;
pub mod list;
pub mod man;
pub mod metrics;
pub mod once;
pub mod one;
pub mod page;
pub mod reconcile;
pub mod related;
pub mod release;
pub mod saga;
pub mod stats;
pub mod status;
pub mod task;
pub mod wait;
pub mod watch;
pub mod why;

use clap::Subcommand;
use sen_core::error::Result;

use crate::session::Session;
use crate::views::Answer;

/// Every command, in the order of the help.
#[derive(Debug, Subcommand)]
pub enum Command {
    Status(status::Args),
    Watch(watch::Args),
    Inspect(inspect::Args),
    Why(why::Args),
    List(list::Args),
    History(history::Args),
    Reconcile(reconcile::Args),
    Release(release::Args),
    Forget(forget::Args),
    Wait(wait::Args),
    Once(once::Args),
    Exec(exec::Args),
    Task(task::Args),
    Dlq(dlq::Args),
    Saga(saga::Args),
    Stats(stats::Args),
    Doctor(doctor::Args),
    Grants(grants::Args),
    Metrics(metrics::Args),
    Agent(agent::Args),
    Init(init::Args),
    #[cfg(feature = "sqlite")]
    Demo(demo::Args),
    Completions(completions::Args),
    Man(man::Args),
    Help(help::Args),
}

/// One command by name, described to clap without the others.
pub fn alone(name: &str) -> Option<clap::Command> {
    fn describe<A: clap::Args>(name: &'static str) -> Option<clap::Command> {
        Some(A::augment_args(clap::Command::new(name)))
    }
    match name {
        "status" => describe::<status::Args>("status"),
        "watch" => describe::<watch::Args>("watch"),
        "inspect" => describe::<inspect::Args>("inspect"),
        "why" => describe::<why::Args>("why"),
        "list" => describe::<list::Args>("list"),
        "history" => describe::<history::Args>("history"),
        "reconcile" => describe::<reconcile::Args>("reconcile"),
        "release" => describe::<release::Args>("release"),
        "forget" => describe::<forget::Args>("forget"),
        "wait" => describe::<wait::Args>("wait"),
        "metrics" => describe::<metrics::Args>("metrics"),
        "once" => describe::<once::Args>("once"),
        "agent" => describe::<agent::Args>("agent"),
        "exec" => describe::<exec::Args>("exec"),
        "task" => describe::<task::Args>("task"),
        "dlq" => describe::<dlq::Args>("dlq"),
        "saga" => describe::<saga::Args>("saga"),
        "stats" => describe::<stats::Args>("stats"),
        _ => None,
    }
}

impl Command {
    /// Whether it decides itself what a signal means.
    pub fn hears_signals(&self) -> bool {
        matches!(self, Self::Once(_))
    }

    /// Runs it.
    pub async fn run(self, session: &Session) -> Result<Answer> {
        match self {
            Self::Status(args) => status::run(args, session).await,
            // Boxed, so that the others do not carry its size about.
            Self::Watch(args) => Box::pin(watch::run(args, session)).await,
            Self::Inspect(args) => inspect::run(args, session).await,
            Self::Why(args) => why::run(args, session).await,
            Self::List(args) => list::run(args, session).await,
            Self::History(args) => history::run(args, session).await,
            Self::Reconcile(args) => reconcile::run(args, session).await,
            Self::Release(args) => release::run(args, session).await,
            Self::Forget(args) => forget::run(args, session).await,
            Self::Wait(args) => wait::run(args, session).await,
            Self::Once(args) => once::run(args, session).await,
            Self::Exec(args) => exec::run(args, session).await,
            Self::Task(args) => task::run(args, session).await,
            Self::Dlq(args) => dlq::run(args, session).await,
            Self::Saga(args) => saga::run(args, session).await,
            Self::Stats(args) => stats::run(args, session).await,
            Self::Doctor(args) => doctor::run(args, session).await,
            Self::Grants(args) => grants::run(args, session).await,
            Self::Metrics(args) => metrics::run(args, session).await,
            Self::Agent(args) => agent::run(args, session).await,
            Self::Init(args) => init::run(args, session).await,
            #[cfg(feature = "sqlite")]
            Self::Demo(args) => demo::run(args, session).await,
            Self::Completions(args) => completions::run(&args, session),
            Self::Man(args) => man::run(&args, session),
            Self::Help(args) => help::run(&args, session),
        }
    }
}
