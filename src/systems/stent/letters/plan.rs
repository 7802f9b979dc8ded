//! Plans of acts on dead letters: which letters, fixed as they are seen now, and what a person should know first.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use sen_model::error::{Error, ErrorKind, Result};
use sen_model::letters::{ArgumentEdit, LetterFilter, ReplayOptions};
use sen_model::plan::{Beyond, Plan, Risk, Set, StepPreview};
use sen_model::prepared::{Prepared, PreparedAction};
use sen_model::report::{Item, Outcome};
use sen_model::text::named;
use sen_model::time::Timestamp;
use sen_model::time::wall::Wall;

use super::edit::{self, Edited};
use super::handle::StentLetters;
use super::port::{Fact, LetterQuery};
use super::rules::{self, Effect, Replayability, replayability};
use super::steps::TASKS;
use super::targets::TargetSet;
use super::view;
use crate::names::dead_letter;
use crate::plan::{LetterAct, LetterAction};
use crate::record::TaskKind;
use crate::words::many;

/// How many letters of a set are shown.
const SAMPLE: usize = 5;

/// Of how many orchestrators the steps are looked at.
const PREVIEWED: usize = 1000;

/// A set being gathered.
#[derive(Default)]
struct Gathered {
    chosen: TargetSet,
    oldest: Option<Wall>,
    newest: Option<Wall>,
    orchestrators: u64,
    activities: u64,
    skipped: BTreeMap<Replayability, u64>,
    forced: Vec<&'static str>,
    refused: Vec<Item>,
    seen: Vec<String>,
    /// How many are edited although a result is kept under a key that follows from their arguments.
    keyed: u64,
    /// The first orchestrators.
    roots: Vec<String>,
}

impl Gathered {
    fn take(&mut self, fact: &Fact, edit: Option<Edited>) {
        match edit {
            None => self.chosen.push(&fact.id, fact.moved_at),
            Some(edit) => self.chosen.push_edited(&fact.id, fact.moved_at, edit),
        }
        self.oldest = self.oldest.into_iter().chain(fact.moved_at).min();
        self.newest = self.newest.max(fact.moved_at);
        match fact.replay_facts.kind {
            TaskKind::Orchestrator => {
                self.orchestrators += 1;
                if self.roots.len() < PREVIEWED {
                    self.roots.push(fact.id.clone());
                }
            }
            _ => self.activities += 1,
        }
    }
}

/// Why an activity with an idempotency key is not edited. No library stores the result of a replayed activity under its key, but
/// whoever reads the row takes the key for that of its arguments.
const KEYED: &str =
    "it has an idempotency key that was made of the arguments of before, and would no longer stand for what runs";

/// The edit of a letter, and whether it has an idempotency key; or why it is not made.
fn of_fact(fact: &Fact, edit: &ArgumentEdit, force: bool) -> std::result::Result<(Edited, bool), String> {
    let (task, stored) = edit::read(fact.dump.as_deref())?;
    // An orchestrator's key is made when it ends, of the arguments that it ran with.
    let keyed = task.idempotency_key.is_some() && task.kind != TaskKind::Orchestrator;
    let edited = edit::edited(&stored, edit)?;
    let edited = edited.ok_or("its arguments are as wanted already; a replay without an edit runs it with them")?;
    match keyed && !force {
        true => Err(format!("{KEYED} (--force replays it all the same)")),
        false => Ok((edited, keyed)),
    }
}

impl StentLetters {
    pub(super) async fn prepare_replay(
        &self,
        filter: &LetterFilter,
        options: &ReplayOptions,
        edit: Option<&ArgumentEdit>,
    ) -> Result<Box<dyn PreparedAction + '_>> {
        let judge = |fact: &Fact| {
            let replayability = replayability(&fact.replay_facts);
            let taken = replayability == Replayability::Replayable || (options.force && replayability.can_be_forced());
            (taken, replayability)
        };
        let gathered = self.gather(filter, judge, edit.map(|edit| (edit, options.force))).await?;
        if edit.is_some() && !gathered.chosen.is_empty() && !self.store.keeps_records() {
            return Err(Error::new(
                ErrorKind::Refused,
                "these tables have no place for a record of an edit (execution_progress)",
            )
            .with_hint("replay the dead letter as it is, or dispatch the work anew with other arguments"));
        }
        let mut warnings = Vec::new();
        if edit.is_some() {
            warnings.push(
                "an execution keeps the arguments that it was dispatched with; its task runs with the edited ones"
                    .to_owned(),
            );
            if gathered.orchestrators > 0 {
                // Keys follow from arguments.
                warnings.push("idempotency keys are made of arguments: a step that gets other ones by this finds no result of before, as a rule, and runs again".to_owned());
            }
            if gathered.keyed > 0 {
                warnings.push(format!("forced: {KEYED}"));
            }
        }
        if gathered.orchestrators > 0 {
            warnings.push(format!(
                "{}: {}",
                many(gathered.orchestrators, "orchestrator"),
                rules::consequence(&TaskKind::Orchestrator)
            ));
        }
        if gathered.activities > 0 {
            let activities = if gathered.activities == 1 {
                "1 activity".into()
            } else {
                format!("{} activities", gathered.activities)
            };
            warnings.push(format!("{activities}: {}", rules::consequence(&TaskKind::Activity)));
        }
        warnings.extend(gathered.forced.iter().map(|what| format!("forced: {what}")));
        if !gathered.chosen.is_empty() {
            warnings.push("another tool that replays the same dead letters at the same time can still run them twice; such copies are reported".into());
        }
        let verb = options
            .queue
            .as_ref()
            .map_or_else(|| "replay".into(), |queue| format!("replay into queue {}", named(queue)));
        let how = if edit.is_some() { " with edited arguments" } else { "" };
        let activities = gathered.activities > 0;
        let act = LetterAct::Replay { options: options.clone(), activities };
        self.finish((&verb, how, act), gathered, warnings).await
    }

    pub(super) async fn prepare_discard(&self, filter: &LetterFilter) -> Result<Box<dyn PreparedAction + '_>> {
        let gathered = self.gather(filter, |_| (true, Replayability::Replayable), None).await?;
        let warnings =
            vec!["the dead letters are removed for good, each after it has been written out whole".to_owned()];
        self.finish(("discard", "", LetterAct::Discard), gathered, warnings).await
    }

    async fn finish(
        &self,
        (verb, how, act): (&str, &str, LetterAct),
        gathered: Gathered,
        mut warnings: Vec<String>,
    ) -> Result<Box<dyn PreparedAction + '_>> {
        let replays = act != LetterAct::Discard;
        // What is replayed runs again, and what is discarded is gone.
        let mut plan = Plan::new(self.store.database(), Risk::Dangerous);
        let moment = |wall: Option<Wall>| wall.map(|wall| self.zone.moment(wall));
        let (preview, more) = if replays { self.preview(&gathered.roots).await? } else { (Vec::new(), false) };
        let failed: u64 = preview.iter().filter(|step| Effect::of_failed(&step.effect)).map(|step| step.count).sum();
        if failed > 0 {
            let (letters, stay) = if failed == 1 {
                ("dead letter of the failed step", "stays")
            } else {
                ("dead letters of the failed steps", "stay")
            };
            warnings
                .push(format!("the {letters} {stay} and can be discarded afterwards (`sen dlq list --kind activity`)"));
        }
        let beyond = Beyond {
            targets: if replays { gathered.orchestrators.saturating_sub(gathered.roots.len() as u64) } else { 0 },
            tasks: more.then_some(TASKS as u64),
        };
        plan.set = Some(Set {
            single_id: gathered.chosen.get(0).filter(|_| gathered.chosen.len() == 1).map(|only| only.id),
            oldest: moment(gathered.oldest),
            newest: moment(gathered.newest),
            sample: self.sample(&gathered.chosen).await?,
            warnings: if gathered.chosen.is_empty() { Vec::new() } else { warnings },
            preview,
            beyond,
            skipped: gathered
                .skipped
                .iter()
                .map(|(replayability, count)| (replayability.why().to_owned(), *count))
                .collect(),
            asked: false,
        });
        plan.refused = gathered.refused;
        let summary = |count| format!("{verb} {}{how}", many(count, "dead letter"));
        Ok(Prepared::boxed(self, plan, LetterAction { act, chosen: gathered.chosen }, summary))
    }

    /// Looks at every letter that matches and keeps those that `judge` takes.
    async fn gather(
        &self,
        filter: &LetterFilter,
        judge: impl Fn(&Fact) -> (bool, Replayability),
        edit: Option<(&ArgumentEdit, bool)>,
    ) -> Result<Gathered> {
        let (mut query, _) = self.query(filter).await?;
        query.texts = !filter.groups.is_empty();
        query.dump = edit.is_some();
        let named = !filter.ids.is_empty();
        let limit = filter.limit.unwrap_or(u64::MAX);
        let mut gathered = Gathered::default();
        let mut chunks = self.store.look(&query).await?.chunks;
        'all: while let Some(chunk) = chunks.next().await {
            for fact in chunk? {
                if gathered.chosen.len() as u64 >= limit {
                    break 'all;
                }
                if !view::is_in(&fact, &filter.groups) {
                    continue;
                }
                if named {
                    gathered.seen.push(fact.id.clone());
                }
                let (taken, replayability) = judge(&fact);
                let edited = match edit.filter(|_| taken).map(|(edit, force)| of_fact(&fact, edit, force)) {
                    Some(Err(why)) => {
                        gathered.refused.push(Item::new(dead_letter(&fact.id), Outcome::Changed, why));
                        continue;
                    }
                    Some(Ok((edited, keyed))) => {
                        gathered.keyed += u64::from(keyed);
                        Some(edited)
                    }
                    None => None,
                };
                if taken {
                    gathered.take(&fact, edited);
                    let orchestrator = fact.replay_facts.kind == TaskKind::Orchestrator;
                    if let Some(what) = rules::forced(replayability, orchestrator)
                        && !gathered.forced.contains(&what)
                    {
                        gathered.forced.push(what);
                    }
                } else if named {
                    let force = if replayability.can_be_forced() { " (--force replays it all the same)" } else { "" };
                    let why = format!("{}{force}", replayability.why());
                    gathered.refused.push(Item::new(dead_letter(&fact.id), Outcome::Changed, why));
                } else {
                    *gathered.skipped.entry(replayability).or_default() += 1;
                }
            }
        }
        let missing = filter.ids.iter().filter(|id| !gathered.seen.contains(id));
        if limit == u64::MAX {
            let missing: Vec<Item> = missing
                .map(|id| {
                    Item::new(dead_letter(id), Outcome::Missing, "no such dead letter of an execution (any more)")
                })
                .collect();
            gathered.refused.extend(missing);
        }
        Ok(gathered)
    }

    /// What a replay of these orchestrators does with their steps, and whether they have more tasks than were looked at.
    async fn preview(&self, roots: &[String]) -> Result<(Vec<StepPreview>, bool)> {
        if roots.is_empty() {
            return Ok((Vec::new(), false));
        }
        let foresight = self.foresee(roots, Timestamp::here()).await?;
        Ok((view::preview(foresight.steps), foresight.more))
    }

    /// The first few, a line each.
    async fn sample(&self, chosen: &TargetSet) -> Result<Vec<String>> {
        let ids: Vec<String> = (0..SAMPLE).filter_map(|at| chosen.get(at)).map(|wanted| wanted.id).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let query = LetterQuery { ids: Some(ids.clone()), texts: true, ..LetterQuery::default() };
        let place = |fact: &Fact| ids.iter().position(|id| *id == fact.id).unwrap_or(SAMPLE);
        let facts = self.facts(&query).await?;
        let mut lines: Vec<(usize, String)> = facts.iter().map(|fact| (place(fact), view::line(fact))).collect();
        lines.sort();
        Ok(lines.into_iter().map(|(_, line)| line).collect())
    }
}
