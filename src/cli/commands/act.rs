//! Shared by all writing commands: their options, and the path from a request to a report; `commands/reported.rs` shows it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sen_core::error::{Error, ErrorKind, Result};
use sen_core::model::brakes::Brakes;
use sen_core::model::journal::keeping;
use sen_core::model::plan::{Beyond, Input, Plan};
use sen_core::model::prepared::{Applying, Origin, PreparedAction};
use sen_core::model::report::{Item, Outcome, Report};
use sen_core::model::subject::Kind;
use sen_core::model::value::Value;
use sen_core::model::verdict::NextCommand;
use sen_core::ops::act::{self, Author};
use sen_core::ops::course::Follower;
use sen_core::ops::prefix;
use sen_core::permit::WritePermit;
use sen_core::registry::{Access, Database};
use sen_core::systems::sentinel::{self, request::LeaseRequest};
use sen_core::time::Timestamp;

use super::begun::{begun, resumed};
use super::brakes::BrakeOptions;
use super::inspect::stored_key;
use super::reported::{self, Outline, reported};
use crate::args::span;
use crate::completion::live::{Completes, Live};
use crate::consent::{self, Given};
use crate::edits;
use crate::exit::Exit;
use crate::files;
use crate::hook;
use crate::journal::{self, Entry, Journaled, Kept};
use crate::operator::operator;
use crate::plans;
use crate::progress::Progress;
use crate::session::Session;
use crate::views::{Block, CommandOutput, View};

/// Above the options of an act.
const CONSENT: &str = "Plan and consent";

/// Options of every command that changes something.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ActionOptions {
    /// Show the plan and change nothing
    #[arg(long, help_heading = CONSENT)]
    pub dry_run: bool,

    /// Do not ask; scripts need it for what would be asked
    #[arg(short, long, help_heading = CONSENT)]
    pub yes: bool,

    /// Name of the context or database, as consent where it is production
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pub confirm: Option<String>,

    /// Reason, stored with the change
    #[arg(long, help_heading = CONSENT, value_name = "TEXT")]
    pub reason: Option<String>,

    /// Do nothing unless exactly so many would be changed
    #[arg(long, help_heading = CONSENT, value_name = "N")]
    pub expect: Option<u64>,

    /// End with exit code 4 when nothing matches
    #[arg(long, help_heading = CONSENT)]
    pub fail_if_empty: bool,

    /// Write the plan to this new file and do nothing else: for review, and for `sen apply`
    #[arg(long, help_heading = CONSENT, value_name = "FILE", conflicts_with = "dry_run", value_hint = clap::ValueHint::FilePath)]
    pub plan_out: Option<PathBuf>,

    /// How long the plan is valid [default: 24h]
    #[arg(long, help_heading = CONSENT, value_name = "SPAN", requires = "plan_out", value_parser = span)]
    pub plan_expires: Option<Duration>,

    /// Whether the plan was read back, so that its operation may have been begun before
    #[arg(skip)]
    pub read_back: bool,

    /// Whether an id was given by its beginning
    #[arg(skip)]
    pub by_prefix: bool,

    /// The brakes, of acts that have them
    #[arg(skip)]
    pub brakes: BrakeOptions,
}

impl ActionOptions {
    /// Whether the act is only planned.
    pub fn only_plans(&self) -> bool {
        self.dry_run || self.plan_out.is_some()
    }

    /// The database, for reading where the act is only planned.
    ///
    /// # Errors
    /// As [`Session::read`] and [`Session::write`].
    pub async fn database(&self, session: &Session) -> Result<Database> {
        let database = if self.only_plans() { session.read().await? } else { session.write(Access::Write).await? };
        // The journal names it, too: who goes on may come to it by another address.
        if !self.dry_run {
            session.identify(&database).await?;
        }
        Ok(database)
    }

    /// The Redis of the agent tasks, for reading where the act is only planned.
    ///
    /// # Errors
    /// As [`Session::read_agents`] and [`Session::write_agents`].
    pub async fn agents(&self, session: &Session) -> Result<Database> {
        if self.only_plans() { session.read_agents().await } else { session.write_agents().await }
    }

    /// The ids with those that are the beginning of one made whole. Such an act asks, or needs `--yes`: what it is about was not
    /// named in full.
    ///
    /// # Errors
    /// As [`prefix::whole`]; `Usage` for what cannot be an id.
    pub async fn whole_ids(
        &mut self,
        database: &Database,
        only: Option<&str>,
        kinds: &[Kind],
        ids: Vec<String>,
    ) -> Result<Vec<String>> {
        let ids = ids.into_iter().map(crate::keys::checked_key).collect::<Result<Vec<_>>>()?;
        let (ids, any) = prefix::whole(database, only, kinds, ids).await?;
        self.by_prefix |= any;
        Ok(ids)
    }

    fn origin(&self, session: &Session) -> Origin {
        let now = Timestamp::here();
        let expires = self.plan_out.as_ref().map(|_| now.plus(self.plan_expires.unwrap_or(PLAN_HOLDS)));
        Origin {
            identity: session.identity().and_then(|identity| identity.name),
            who: operator(),
            reason: self.reason.clone(),
            at: Some(now),
            expires,
        }
    }
}

/// How long a plan in a file may be applied.
const PLAN_HOLDS: Duration = Duration::from_secs(24 * 60 * 60);

/// The keys an act is about, and its options.
#[derive(Debug, Clone, clap::Args)]
pub struct Targets {
    /// The key as stored; its namespace is part of it
    #[arg(required = true, value_name = "KEY", add = Completes(Live::Lease))]
    pub keys: Vec<String>,

    /// Put this namespace before every key, as the library does
    #[arg(short, long, value_name = "NAME", add = Completes(Live::Namespace))]
    pub namespace: Option<String>,

    #[command(flatten)]
    options: ActionOptions,
}

/// Plans, asks and applies an act on the named leases.
pub async fn on_leases(
    mut targets: Targets,
    session: &Session,
    request: fn(Vec<String>) -> LeaseRequest,
) -> Result<CommandOutput> {
    let keys = targets.keys.iter().map(|key| crate::keys::checked_key(stored_key(targets.namespace.as_deref(), key)));
    let ids = keys.collect::<Result<Vec<_>>>()?;
    let database = targets.options.database(session).await?;
    let ids = targets.options.whole_ids(&database, Some(sentinel::NAME), &[Kind::Lease], ids).await?;
    apply(database.leases()?.plan(&request(ids)).await?, &targets.options, session).await
}

/// From a plan to a report: expectation, dry run, consent, permit, and then it is applied.
pub async fn apply(
    action: Box<dyn PreparedAction + '_>,
    options: &ActionOptions,
    session: &Session,
) -> Result<CommandOutput> {
    carried_out(execute(action, options, None, session, |_| Ok(None)).await?, session)
}

/// The same of an act that has brakes, on this database.
pub async fn apply_braked(
    database: &Database,
    action: Box<dyn PreparedAction + '_>,
    options: &ActionOptions,
    session: &Session,
) -> Result<CommandOutput> {
    if options.plan_out.is_some() {
        options.brakes.must_be_absent()?;
    }
    let follower = options.brakes.follower(database, &*action)?;
    carried_out(execute(action, options, follower, session, |_| Ok(None)).await?, session)
}

/// The answer of an act.
pub fn carried_out(execution: Execution, session: &Session) -> Result<CommandOutput> {
    Ok(match execution {
        Execution::Planned(answer) => answer,
        Execution::Applied(report, outline) => finished(reported(&report, &outline), session),
    })
}

/// The brakes that were asked for, and who follows for them.
pub type Braking<'a> = Option<(&'a BrakeOptions, Follower<'a>)>;

/// How far an act came.
pub enum Execution {
    /// It was a dry run; this is what it would have done.
    Planned(CommandOutput),
    /// It was applied.
    Applied(Report, Box<Outline>),
}

/// What takes what is removed, before it is removed.
pub type Export<'a> = Box<dyn FnMut(&str) -> Result<()> + Send + 'a>;

/// The answer with the exit code of an interrupt, where one was heard.
pub fn finished(answer: CommandOutput, session: &Session) -> CommandOutput {
    if session.interrupt.revocation().is_revoked() { answer.ending(Exit::Interrupted) } else { answer }
}

/// The rest of an operation: the targets at these places of its plan, entered in its journal.
pub async fn execute_part<'a>(
    action: Box<dyn PreparedAction + '_>,
    options: &ActionOptions,
    session: &Session,
    (entry, places): (&Entry, Vec<usize>),
    braking: Braking<'_>,
    open: impl FnOnce() -> Result<Option<Export<'a>>>,
) -> Result<Execution> {
    if entry.count(Outcome::Applied) == 0 {
        told_if_idle(&braking, &*action, session);
    }
    if options.dry_run {
        return Ok(Execution::Planned(planned(&*action)?));
    }
    let permit = permitted(&*action, options, session)?;
    let kept = resumed(entry, &places, session).await?;
    let before = match &braking {
        Some(_) => entry.followed(&|_| None)?.map(|(_, followed)| followed).collect(),
        None => Vec::new(),
    };
    let brakes = braking.as_ref().map(|(options, follower)| (options.words(), options.brakes(follower, before)));
    applied(action, (&permit, brakes.as_ref()), session, (kept, Some(places)), open()?).await
}

/// The same, with the report left to the caller. Where something is to be stored before it is removed, `open` opens what
/// takes it, once there is consent.
pub async fn execute<'a>(
    action: Box<dyn PreparedAction + '_>,
    options: &ActionOptions,
    braking: Braking<'_>,
    session: &Session,
    open: impl FnOnce(&Plan) -> Result<Option<Export<'a>>>,
) -> Result<Execution> {
    let targets = action.plan().targets();
    if let Some(expected) = options.expect
        && expected != targets
    {
        let message = format!("{targets} would be changed, not {expected} as expected; nothing was written");
        return Err(Error::new(ErrorKind::Changed, message).with_hint("--dry-run shows which"));
    }
    let plan = action.plan();
    if options.fail_if_empty && targets == 0 && plan.refused.is_empty() && plan.skipped() == 0 {
        return Err(Error::new(ErrorKind::NotFound, "nothing matches"));
    }
    told_if_idle(&braking, &*action, session);
    if options.dry_run {
        return Ok(Execution::Planned(planned(&*action)?));
    }
    if let Some(path) = &options.plan_out {
        if targets == 0 {
            session.note(format!("nothing is planned: {} was not written", path.display()));
            return Ok(Execution::Planned(planned(&*action)?));
        }
        return Ok(Execution::Planned(written(&*action, &options.origin(session), path)?));
    }
    let permit = permitted(&*action, options, session)?;
    let export = open(action.plan())?;
    let kept = if targets == 0 { Kept::default() } else { begun(&*action, &options.origin(session), session).await? };
    let brakes = braking.as_ref().map(|(options, follower)| (options.words(), options.brakes(follower, Vec::new())));
    applied(action, (&permit, brakes.as_ref()), session, (kept, None), export).await
}

/// Says where a brake that was asked for can hardly brake anything.
fn told_if_idle(braking: &Braking<'_>, action: &dyn PreparedAction, session: &Session) {
    let idle = braking.as_ref().and_then(|(options, _)| options.idle(action.plan().targets()));
    idle.into_iter().for_each(|line| session.warn(line));
}

/// Asks where it must be asked. What changes nothing needs no consent.
fn permitted(action: &dyn PreparedAction, options: &ActionOptions, session: &Session) -> Result<WritePermit> {
    let plan = action.plan();
    consent::heed(session, plan, options.reason.as_deref())?;
    let given = Given {
        in_advance: options.yes || plan.targets() == 0,
        confirmed: options.confirm.as_deref(),
        by_prefix: options.by_prefix,
    };
    let consent = consent::consent(session, action, &given)?;
    let author = Author { who: Some(operator()), why: options.reason.clone() };
    let permit = act::permit(plan, consent, author, session.interrupt.revocation())?;
    Ok(if options.read_back { permit.begun_before() } else { permit })
}

async fn applied(
    action: Box<dyn PreparedAction + '_>,
    (permit, brakes): (&WritePermit, Option<&(Vec<String>, Brakes<'_>)>),
    session: &Session,
    (mut kept, places): (Kept, Option<Vec<usize>>),
    mut export: Option<Export<'_>>,
) -> Result<Execution> {
    let follow_ups = action.steps().take(2).map(|step| step.follow_up).collect();
    let (words, brakes) = brakes.map(|(words, brakes)| (words.clone(), brakes)).unzip();
    let brakes_again = words.unwrap_or_default();
    let outline = Outline { plan: action.plan().clone(), follow_ups, brakes: brakes_again, kept: kept.file.is_some() };
    let progress = Progress::new(session.shows_progress());
    let begins = journal::begins(&outline.brakes);
    kept.file.iter_mut().for_each(|file| file.begins(&begins));
    let running = kept.running.clone();
    if let (Some(running), Ok(line)) = (&running, serde_json::to_string(&begins)) {
        running.begins(&line);
    }
    let journaled = Journaled::new(&progress, kept, places);
    let export = export.as_mut().map(|export| &mut **export as &mut (dyn FnMut(&str) -> Result<()> + Send));
    let applying = Applying { permit, observer: &journaled, brakes, export };
    let work = keeping(running.clone(), action.apply(applying));
    let report = session.interrupt.protect(work).await;
    if let Ok(report) = &report {
        let ended = journal::ended(report, permit.is_revoked(), &outline.brakes);
        if let Some(file) = journaled.into_journal() {
            file.end(&ended).unwrap_or_else(|error| session.warn(error.in_full()));
        }
        if let (Some(running), Some(journal)) = (running, session.journal().await?) {
            serde_json::to_string(&ended).iter().for_each(|line| running.ended(line));
            let done = journal.store().end(&running).await;
            done.unwrap_or_else(|error| {
                session.warn(format!("the database's journal is not complete: {}", error.in_full()));
            });
        }
    }
    session.announce(progress.announced());
    progress.finish().into_iter().for_each(|line| session.warn(line));
    let report = report?;
    if matches!(hook::named(session), Ok(Some(_))) {
        session.keep_report(told(&report, &outline.plan, permit));
    }
    Ok(Execution::Applied(report, Box::new(outline)))
}

/// What a hook is told: the report as data, with what it is about and who did it why.
fn told(report: &Report, plan: &Plan, permit: &WritePermit) -> Vec<(&'static str, Value)> {
    let text = |text: Option<&str>| text.map_or(Value::Null, |text| Value::Text(text.to_owned()));
    let mut fields = vec![
        ("summary", Value::Text(plan.summary().to_owned())),
        ("database", Value::Text(plan.database.clone())),
        ("who", text(permit.operator())),
        ("reason", text(permit.reason())),
    ];
    if let Value::Map(data) = reported::data(report, plan.targets(), false) {
        fields.extend(data);
    }
    fields
}

/// The plan in a file, and what to do with it.
fn written(action: &dyn PreparedAction, origin: &Origin, path: &Path) -> Result<CommandOutput> {
    let file = files::create(path).map_err(files::cannot("create", path))?;
    // What is cut off is no plan, and its name stays free.
    plans::write(action, origin, &file).inspect_err(|_| drop(std::fs::remove_file(path)))?;
    let mut answer = planned(action)?;
    if let View::Details(view) = &mut answer.view {
        let next = NextCommand::new(&["sen", "apply"], "apply it as it is").id(&path.to_string_lossy());
        view.details.iter_mut().for_each(|detail| detail.blocks.push(Block::Next(vec![next.clone()])));
    }
    Ok(answer)
}

fn planned(action: &dyn PreparedAction) -> Result<CommandOutput> {
    let plan = action.plan();
    let mut items: Vec<Item> = Vec::new();
    let mut warnings = plan.warnings.clone();
    let mut edits = Vec::new();
    for step in action.steps() {
        if let Some(Input::Edit { from, to }) = &step.input {
            let subject = step.subject.to_string();
            edits.extend(edits::shown(from, to).iter().map(|one| one.value(&subject)));
        }
        let act = step.act.replace('_', " ");
        match items.last_mut() {
            Some(item) if item.subject == step.subject => item.detail += &format!(" and {act}"),
            _ => items.push(Item::new(step.subject, Outcome::Skipped, format!("would {act}"))),
        }
        warnings.extend(step.warnings);
    }
    items.extend(plan.refused.iter().cloned());
    let asked = plan.set.as_ref().is_some_and(|set| set.asked);
    let mut report = Report { items, asked, ..Report::new(plan.operation) };
    report.add_unlisted(Outcome::Skipped, plan.skipped());
    let blocks = consent::describe(action).into_iter().map(Block::Note).collect();
    // As it would end: what is planned counts as done.
    let mut done = Report { items: plan.refused.clone(), asked, ..Report::new(plan.operation) };
    done.unlisted.clone_from(&report.unlisted);
    done.add_unlisted(Outcome::Applied, plan.targets());
    let mut answer = reported::view(&report, plan.targets(), true, blocks).ending(reported::exit(&done));
    if let View::Details(view) = &mut answer.view
        && let Some(Value::Map(fields)) = view.details.first_mut().map(|detail| &mut detail.value)
    {
        fields.extend(foreseen(plan, warnings));
        fields.push(("edits", Value::List(edits)));
        fields.push(("plan", whole(action)?));
    }
    Ok(answer)
}

/// The plan as it would be saved: its header, and its targets as a list.
fn whole(action: &dyn PreparedAction) -> Result<Value> {
    let mut saved = Vec::new();
    action.save(None, &mut saved)?;
    let text = String::from_utf8(saved)
        .map_err(|error| Error::new(ErrorKind::Internal, "a plan is no text").with_source(error))?;
    let (header, targets) = text.split_once('\n').unwrap_or((&text, ""));
    let targets = targets.lines().map(|line| Value::Json(line.to_owned())).collect();
    Ok(Value::Map(vec![("header", Value::Json(header.to_owned())), ("targets", Value::List(targets))]))
}

/// What a plan says beyond its items: what to know first, and what becomes of the steps of what is started anew.
fn foreseen(plan: &Plan, mut warnings: Vec<String>) -> [(&'static str, Value); 3] {
    let set = plan.set.iter();
    let beyond = plan.set.as_ref().map(|set| set.beyond).unwrap_or_default();
    let int = |count: u64| Value::Int(i64::try_from(count).unwrap_or(i64::MAX));
    let unshown = if beyond == Beyond::default() {
        Value::Null
    } else {
        Value::Map(vec![("targets", int(beyond.targets)), ("tasks_beyond", beyond.tasks.map_or(Value::Null, int))])
    };
    warnings.extend(set.clone().flat_map(|set| set.warnings.iter().cloned()));
    let preview = set.flat_map(|set| &set.preview).map(|step| {
        Value::Map(vec![
            ("step", Value::Text(step.step.clone())),
            ("effect", Value::Text(step.effect.clone())),
            ("count", int(step.count)),
            ("text", Value::Text(step.text.clone())),
        ])
    });
    [
        ("warnings", Value::List(warnings.into_iter().map(Value::Text).collect())),
        ("replay_steps", Value::List(preview.collect())),
        ("replay_steps_not_shown", unshown),
    ]
}
