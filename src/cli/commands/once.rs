//! `sen once`: runs a command at most once per key, across machines.

mod capture;
mod child;
pub mod guard;
mod record;
mod signals;
mod spool;
mod wait;

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::record::Record;
use sen_core::model::value::Value;
use sen_core::model::verdict::{NextCommand, shell_word};
use sen_core::once::{Client, Hold, Once, Settled, KeyState, Taken, gone, state_of, what_is_there};
use sen_core::systems::sentinel::record::{Lease, Status};
use sen_core::text::named;
use sen_core::time::{Timestamp, Uptime};

use crate::completion::live::{Completes, Live};
use crate::args::span;
use crate::exit::Exit;
use crate::session::Session;
use crate::views::{CommandOutput, Block, Detail, DetailsView, View};
use child::{Running, Supervised};
use record::Cached;
use signals::Signals;
use wait::{Claimed, Patience};

/// Run a command at most once per key, across machines
///
/// The first caller runs the command; its exit code and output are kept, and later callers of the key end with the same
/// code without running anything. While it runs, heartbeats keep a lease alive; when the lease cannot be kept, the command
/// is ended (SIGTERM, then SIGKILL to its process group) before anybody else may be entitled to the key.
///
/// A command that fails leaves the key uncertain: its effect may have happened. An uncertain key is never run again by
/// itself; a person settles it. The promise is "starts at most once", never "exactly once", and not for commands that leave
/// processes behind.
///
/// The command gets SEN_KEY and SEN_FENCING_TOKEN, and none of DATABASE_URL, PG* and SEN_*.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen once backup:2026-11-20 -- pg_dump -Fc -f /backup/payments.dump payments
  sen once --ttl 1m --hard-ttl 6h --wait 10m nightly-report -- ./report.sh
  sen once -E 0 cron:cleanup -- ./cleanup.sh       # not first: that is fine
  sen once --print-cached order-789 -- ./charge 789
  sen once --describe order-789 -- ./charge 789

Exit codes: the command's own (128 + n when signal n ended it), now or from the cache. 75 the key is held elsewhere, 76 it is \
uncertain or being reconciled or became so, 125 sen failed before the start, 126 and 127 the command cannot be run (nothing \
ran, the key is free again), 9 it ran and the database was gone at the end: its result is in the spool file that is named \
(SEN_SPOOL_DIR, else $XDG_STATE_HOME/sen/spool).

Signals: those that can be caught are passed on; a second Ctrl-C kills. What was ignored at the start (nohup) stays ignored, in \
the command, too. Ctrl-Z is ignored: a stopped sen keeps no lease. When sen itself is killed, a watching process ends the \
command (SIGTERM, then SIGKILL), and the key becomes uncertain. Output that cannot be passed on (a full disk) fails the run: \
the key becomes uncertain. A closed pipe does not.")]
pub struct Args {
    /// The key
    #[arg(value_name = "KEY", add = Completes(Live::Lease))]
    pub key: String,

    /// How long the lease lasts without a heartbeat (at least 1s)
    #[arg(long, value_parser = span, default_value = "30s", value_name = "SPAN")]
    pub ttl: Duration,

    /// How long heartbeats can extend the lease; a command that takes longer is ended
    #[arg(long, value_parser = span, default_value = "1h", value_name = "SPAN")]
    pub hard_ttl: Duration,

    /// Put this namespace before the key, as the library does
    #[arg(short, long, value_name = "NAME", add = Completes(Live::Namespace))]
    pub namespace: Option<String>,

    /// What a failed command makes of the key
    #[arg(long, value_enum, default_value_t = OnFailure::Uncertain, value_name = "WHAT")]
    pub on_failure: OnFailure,

    /// How long to wait while another owner holds the key
    #[arg(long, value_parser = span, value_name = "SPAN")]
    pub wait: Option<Duration>,

    /// Exit code when the key is held elsewhere, instead of 75
    #[arg(short = 'E', long, value_name = "CODE")]
    pub conflict_exit_code: Option<u8>,

    /// When the command ran earlier, print what it printed
    #[arg(long)]
    pub print_cached: bool,

    /// Say what would happen, and do nothing
    #[arg(long)]
    pub describe: bool,

    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// What a failed command makes of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OnFailure {
    /// A person must look: the effect may have happened
    Uncertain,
    /// Its failure is its result: later callers get it
    Complete,
    /// The key is free again: the next caller runs it
    Release,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    match attempt(&args, session).await {
        Ok(answer) => Ok(answer),
        // Nothing ran. Only an unknown outcome has its own exit code.
        Err(error) if error.kind() == ErrorKind::OutcomeUnknown => Err(error),
        Err(error) => Ok(CommandOutput::new(View::Nothing).ending(Exit::NotStarted).with_errors(vec![error])),
    }
}

async fn attempt(args: &Args, session: &Session) -> Result<CommandOutput> {
    let key = crate::keys::checked_key(super::inspect::stored_key(args.namespace.as_deref(), &args.key))?;
    if args.ttl < Duration::from_secs(1) {
        return Err(Error::usage("the TTL must be at least 1s: a shorter lease cannot be kept reliably"));
    }
    if args.describe {
        return describe(args, &key, session).await;
    }
    let target = session.write_target()?;
    let mut signals = Signals::listen()?;
    let client = tokio::select! {
        client = Client::connect(target) => client?,
        signal = signals.ending() => return Ok(interrupted(signal)),
    };
    let once = Once::new(&client, key.as_str()).ttl(args.ttl).hard_ttl(args.hard_ttl);
    let patience = Patience { key: &key, limit: args.wait };
    let end = Uptime::now().plus(client.connect_retry());
    loop {
        let hold = match wait::claim(&once, &client, &patience, &mut signals).await? {
            Claimed::Taken(taken) => match *taken {
                Taken::Ours(hold) => hold,
                Taken::Theirs(key_state) => return Ok(refused(args, session, &key, &key_state)),
            },
            Claimed::Interrupted(signal) => return Ok(interrupted(signal)),
        };
        if Uptime::now() < hold.stop_at() {
            return start(args, session, &hold, &mut signals).await;
        }
        // It was held up on its way, as by a pooler whose server was away. Given back, the key can be claimed anew.
        give_back(&hold).await?;
        if Uptime::now() >= end {
            let message = "claiming the key took longer than the lease allows; it was given back";
            return Err(Error::new(ErrorKind::Timeout, message));
        }
    }
}

/// Gives back a key that came too late to begin with.
async fn give_back(hold: &Hold) -> Result<()> {
    let late = |became: String| {
        let message = format!("claiming the key took longer than the lease allows, and nothing was started; {became}");
        Err(Error::new(ErrorKind::Timeout, message).with_hint(inspect_hint(&hold.held().key)))
    };
    match hold.release().await {
        Ok(Settled::Done) => Ok(()),
        Ok(Settled::Gone(lease)) => late(what_is_there(lease.as_deref())),
        Err(error) => late(format!("it could not be given back ({error})")),
    }
}

fn interrupted(signal: i32) -> CommandOutput {
    CommandOutput::new(View::Nothing).ending(Exit::Own(u8::try_from(128 + signal).unwrap_or(130)))
}

fn ending(exit: Exit, error: Error) -> CommandOutput {
    CommandOutput::new(View::Nothing).ending(exit).with_errors(vec![error])
}

fn inspect_hint(key: &str) -> String {
    format!("{} shows what is known", NextCommand::new(&["sen", "inspect"], "").id(key).command)
}

/// The key is not ours: what stands there decides.
fn refused(args: &Args, session: &Session, key: &str, key_state: &KeyState) -> CommandOutput {
    let Some(lease) = &key_state.lease else {
        return ending(
            Exit::Held,
            Error::new(ErrorKind::Changed, format!("{} changed hands while it was claimed", named(key))),
        );
    };
    let owner = lease.owner_id.as_deref().unwrap_or("somebody");
    match lease.status {
        Status::Completed => cached(args, session, key, lease),
        Status::Claimed | Status::Executing if lease.alive == Some(true) => {
            let until = lease.lease_expires_at.map_or_else(String::new, |at| format!("; its lease ends {at}"));
            let what = if lease.status == Status::Claimed { "is held by" } else { "is being run by" };
            let error = Error::new(ErrorKind::Pending, format!("{} {what} {owner}{until}", named(key)));
            let error = if args.wait.is_none() { error.with_hint("--wait SPAN waits for it") } else { error };
            match args.conflict_exit_code {
                // The operator has chosen that a conflict is no error.
                Some(code) => {
                    session.note(error.to_string());
                    CommandOutput::new(View::Nothing).ending(Exit::Own(code))
                }
                None => ending(Exit::Held, error),
            }
        }
        _ => {
            let state = state_of(lease).name();
            let message = format!("{} is {state} (begun by {owner}): nothing was run", named(key));
            ending(Exit::Unsettled, Error::new(ErrorKind::Changed, message).with_hint(inspect_hint(key)))
        }
    }
}

fn cached(args: &Args, session: &Session, key: &str, lease: &Lease) -> CommandOutput {
    let json = lease.execution_result.as_deref().unwrap_or("null");
    let (view, exit, when) = match record::decode(json) {
        Cached::Command { code, stdout, stderr, finished } => {
            let when = finished.map_or_else(String::new, |at| format!(" at {at}"));
            (View::Replay { stdout, stderr }, Exit::Own(code), when)
        }
        Cached::Other(json) => {
            let stdout = format!("{json}\n").into_bytes();
            (View::Replay { stdout, stderr: Vec::new() }, Exit::Done, String::new())
        }
    };
    if args.print_cached {
        return CommandOutput::new(view).ending(exit);
    }
    session.note(format!("{} was run{when} with exit code {}; nothing was run now", named(key), exit.code()));
    CommandOutput::new(View::Nothing).ending(exit)
}

/// The key is ours: the command may start, for this one time.
async fn start(args: &Args, session: &Session, hold: &Hold, signals: &mut Signals) -> Result<CommandOutput> {
    let running = match crate::screen::relay() {
        Ok(streams) => Running::start(&args.command, hold, streams),
        Err(error) => {
            release(session, hold).await;
            return Err(error);
        }
    };
    let running = match running {
        Ok(running) => running,
        Err(error) => {
            release(session, hold).await;
            return Ok(cannot_run(&args.command, error));
        }
    };
    if !running.is_guarded() {
        session.warn("no process could be started that ends the command if sen itself is killed");
    }
    let tell = |text: String| session.warn(text);
    let supervised = running.supervise(hold, signals, &tell).await.map_err(|error| {
        Error::new(ErrorKind::OutcomeUnknown, "the command was started, and its end could not be seen")
            .with_source(error)
    })?;
    if supervised.left_open {
        session.warn("the command left a process behind that holds its output open; what it still writes is lost");
    }
    finish(args, session, hold, supervised).await
}

fn cannot_run(command: &[OsString], error: io::Error) -> CommandOutput {
    let program = command.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default();
    let exit = if error.kind() == io::ErrorKind::NotFound { Exit::NoCommand } else { Exit::CannotRun };
    let message = format!("cannot run {program}: nothing ran, and the key is free again");
    ending(exit, Error::new(ErrorKind::Io, message).with_source(error))
}

/// Gives back a key under which nothing ran.
async fn release(session: &Session, hold: &Hold) {
    if let Err(error) = hold.release().await {
        session
            .warn(format!("the key could not be given back ({error}); nothing ran under token {}", hold.held().token));
    }
}

async fn finish(args: &Args, session: &Session, hold: &Hold, run: Supervised) -> Result<CommandOutput> {
    let key = &hold.held().key;
    let code = run.ending.code;
    if let Some(lost) = &run.lost {
        let now = became(hold.give_up(&run.ending.failure(Some(lost.to_string()))).await);
        let ended = match &run.not_ended {
            Some(error) => {
                format!("the command could not be ended ({error}); it ended by itself with exit code {code}")
            }
            None if run.survivors => {
                format!("the command was ended (exit code {code}), but processes that it started still run")
            }
            None => format!("the command was ended (exit code {code})"),
        };
        let message = format!("{}: {lost}; {ended}; {now}", named(key));
        return Ok(ending(Exit::Unsettled, Error::new(ErrorKind::Changed, message).with_hint(inspect_hint(key))));
    }
    if let Some((stream, error)) = &run.unwritten {
        let why = format!("its {stream} could not be written: {error}");
        let now = became(hold.give_up(&run.ending.failure(Some(why.clone()))).await);
        let message = format!("{}: the command ended with exit code {code}, and {why}; {now}", named(key));
        return Ok(ending(Exit::Unsettled, Error::new(ErrorKind::Io, message).with_hint(inspect_hint(key))));
    }
    let own = CommandOutput::new(View::Nothing).ending(Exit::Own(code));
    let ended = match args.on_failure {
        OnFailure::Uncertain if code != 0 => hold.expire(&run.ending.failure(None)).await,
        OnFailure::Release if code != 0 => hold.release().await,
        _ => return Ok(complete(session, hold, &run).await),
    };
    match ended {
        Ok(Settled::Done) => {}
        Ok(Settled::Gone(lease)) => {
            session.warn(gone(lease.as_deref()).to_string());
            return Ok(own);
        }
        Err(error) => {
            session.warn(format!("the database did not hear of the failure ({error}): the key becomes uncertain"))
        }
    }
    if args.on_failure == OnFailure::Uncertain {
        session.note(format!("{} is uncertain now, because the command failed; {}", named(key), inspect_hint(key)));
    }
    Ok(own)
}

/// What became of a key that was given up.
fn became(settled: Option<Settled>) -> String {
    match settled {
        Some(Settled::Done) => "the key is uncertain".into(),
        Some(Settled::Gone(lease)) => what_is_there(lease.as_deref()),
        None => "the key is or becomes uncertain".into(),
    }
}

async fn complete(session: &Session, hold: &Hold, run: &Supervised) -> CommandOutput {
    let (key, code) = (&hold.held().key, run.ending.code);
    let operation = hold.operation().to_string();
    let json = record::encode(&run.ending, &operation, hold.ascii_only());
    let folder = spool::folder(session);
    let mut kept = None;
    let settled = hold.complete(&json, |_| kept = Some(spool::keep(folder.as_deref(), &operation, &json))).await;
    let error = match settled {
        Ok(Settled::Done) => {
            if let Some(Ok(path)) = kept {
                let _ = std::fs::remove_file(path);
            }
            return CommandOutput::new(View::Nothing).ending(Exit::Own(code));
        }
        Ok(Settled::Gone(lease)) => {
            // It is stored where a person finds it, who may have to decide what happened.
            let path = kept.unwrap_or_else(|| spool::keep(folder.as_deref(), &operation, &json));
            let error = gone(lease.as_deref()).with_context(format!(
                "{}: the command ended with exit code {code}, but its result was not stored",
                named(key)
            ));
            return ending(Exit::Unsettled, with_file(error, key, path));
        }
        Err(error) => error,
    };
    let path = kept.unwrap_or_else(|| spool::keep(folder.as_deref(), &operation, &json));
    let known = if error.kind() == ErrorKind::OutcomeUnknown { "may be stored or not" } else { "is not stored" };
    let message = format!("{}: the command ended with exit code {code}; its result {known}: {error}", named(key));
    let error = Error::new(ErrorKind::OutcomeUnknown, message).with_source(error);
    ending(Exit::Unknown, with_file(error, key, path))
}

fn with_file(error: Error, key: &str, path: Result<std::path::PathBuf>) -> Error {
    match path {
        Ok(path) => {
            let file = format!("@{}", path.display());
            let store = NextCommand::new(&["sen", "reconcile"], "").id(key).option("--complete", &file);
            error.with_hint(format!(
                "its result is kept in {}; when the key shows as uncertain, {} stores it",
                path.display(),
                store.command
            ))
        }
        Err(failed) => error.with_hint(format!("its result could not be kept in a file either: {failed}")),
    }
}

/// What would happen, and with which exit code.
async fn describe(args: &Args, key: &str, session: &Session) -> Result<CommandOutput> {
    let database = session.read().await?;
    let system = database.system(sen_core::systems::sentinel::NAME)?;
    let found: Option<Record> = system.find(key, 0).await?.into_iter().next();
    let state = found.as_ref().map_or("free", |found| found.verdict.state);
    let (would, code) = match state {
        "free" => ("claim the key and run the command", None),
        "completed" => ("run nothing, and end as the command ended earlier", None),
        "held" | "alive" if args.wait.is_some() => ("wait for the holder", None),
        "held" | "alive" => ("run nothing: another owner holds the key", Some(args.conflict_exit_code.unwrap_or(75))),
        _ => ("run nothing: a person must settle the key", Some(Exit::Unsettled.code())),
    };
    let words: Vec<String> = args.command.iter().map(|word| shell_word(&word.to_string_lossy())).collect();
    let millis = |span: Duration| Value::Millis(i64::try_from(span.as_millis()).unwrap_or(i64::MAX));
    let fields = vec![
        ("key", Value::Text(key.to_owned())),
        ("database", Value::Text(system.database().to_owned())),
        ("state", Value::Name(state)),
        ("would", Value::Text(would.to_owned())),
        ("exit_code", code.map_or(Value::Null, |code| Value::Int(i64::from(code)))),
        ("command", Value::Text(words.join(" "))),
        ("ttl_ms", millis(args.ttl)),
        ("hard_ttl_ms", millis(args.hard_ttl.max(args.ttl))),
    ];
    let blocks = fields.iter().filter(|(_, value)| *value != Value::Null);
    let blocks = blocks.map(|(name, value)| Block::Field(name, value.clone())).collect();
    let now = found.map_or_else(Timestamp::here, |found| found.now);
    let details = vec![Detail { value: Value::Map(fields), blocks }];
    Ok(CommandOutput::new(View::Details(DetailsView { details, single: true, now })))
}
