//! A verdict in words: what is known, what speaks for it, and what to type.

use crate::record::{Entry, Later, Saga, Status};
use crate::shape::Model;
use crate::state::State;
use crate::story::{self, AfterWait, InFlight, RollBack, Sureness};
use sen_model::verdict::{NextCommand, Purpose, Severity};

/// `charge (Charge)`.
pub(crate) fn named(entry: &Entry) -> String {
    format!("{} ({})", entry.step_id, entry.step_name)
}

/// The first line of an error, at a length that fits a sentence.
pub(crate) fn first_line(error: &str) -> String {
    let line = error.lines().next().unwrap_or_default();
    match line.char_indices().nth(200) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}

const fn rolls_back(saga: &Saga) -> bool {
    matches!(saga.status, Status::Compensating | Status::CompensatingSuspended)
}

/// What the next poll does with the step: `executes step charge (Charge) again`.
fn again(saga: &Saga, steps: &[Entry]) -> String {
    if !rolls_back(saga) {
        return "executes the step again".into();
    }
    let step =
        story::next_to_roll_back(steps).map_or_else(|| "a step".into(), |entry| format!("step {}", named(entry)));
    format!("rolls {step} back, again if that has happened already")
}

pub(super) fn summary(saga: &Saga, steps: &[Entry], state: State, model: Option<&Model>) -> String {
    match state {
        State::Stuck => {
            "it is active and has no deadline, so no poll picks it up; probably its worker ended between two steps, \
            or building the next step's input failed or is still under way"
                .into()
        }
        State::PartlyCompensated => format!(
            "its compensation was given up: {} {} not rolled back{}",
            saga.step,
            steps_are(saga.step),
            besides(saga, steps)
        ),
        State::Unreadable => "this row cannot be judged: no version of the library writes it like this".into(),
        State::Overdue => {
            let left = left_in_step(saga).map(|left| format!("; {left}")).unwrap_or_default();
            format!(
                "it has been due for long and was not picked up: probably no worker polls, each poll fails, or workers are far \
                 behind{left}"
            )
        }
        State::TimedOut => {
            "its wait for an event was over before one was applied; it does not continue automatically".into()
        }
        State::Failed if saga.step > 0 => {
            format!(
                "failed permanently; {} {} done and not rolled back{}",
                saga.step,
                steps_are(saga.step),
                besides(saga, steps)
            )
        }
        State::Failed => format!("failed permanently; no step is done{}", besides(saga, steps)),
        State::LeaseExpired => {
            format!("the lease of the worker that claimed it is over: the next poll {}", again(saga, steps))
        }
        State::Due => due(saga, steps, model),
        State::Running => "claimed by a worker whose lease is not over".into(),
        State::Compensating => "claimed for its roll-back by a worker whose lease is not over".into(),
        State::BetweenSteps => "between two steps: a worker prepares the next one, or ended there a moment ago".into(),
        State::WaitingRetry if rolls_back(saga) => "it waits for the next try of a roll-back".into(),
        State::WaitingRetry => retry(saga, steps),
        State::WaitingEvent => match &saga.awaiting {
            Some(awaiting) => format!("it waits for {}", awaiting.words()),
            None => "it waits to be notified".into(),
        },
        State::Compensated => match story::failed_step(steps) {
            _ if story::in_flight(saga, steps).is_some() => {
                format!("the steps on record as done are rolled back{}", besides(saga, steps))
            }
            Some(entry) => format!(
                "rolled back after step {} failed: {}; that step itself is not rolled back, and what it did before it failed \
                 may stand",
                named(entry),
                first_line(entry.error.as_deref().unwrap_or("no error is on record"))
            ),
            None => "rolled back; it is over".into(),
        },
        State::Completed => "all steps are done".into(),
    }
}

/// What a lease that is over leaves open, however long ago that was: nothing else tells it from a step that never began.
pub(crate) fn left_in_step(saga: &Saga) -> Option<&'static str> {
    (saga.due == Some(true) && !saga.handed).then_some(())?;
    match saga.status {
        Status::Running => Some("the step may have happened, and the next poll runs it again"),
        Status::Compensating => Some("the roll-back may have happened, and the next poll runs it again"),
        _ => None,
    }
}

/// A step that was under way when the saga was aborted, as the end of a sentence.
fn besides(saga: &Saga, steps: &[Entry]) -> String {
    in_flight(saga, steps).map(|text| format!("; {text}")).unwrap_or_default()
}

/// A step that was under way when the saga was aborted, and what that leaves open.
pub(crate) fn in_flight(saga: &Saga, steps: &[Entry]) -> Option<String> {
    let InFlight { step, sureness, again } = story::in_flight(saga, steps)?;
    let begin = match sureness {
        Sureness::Recorded => format!("{step} was under way when it was aborted"),
        Sureness::Probable => format!("{step} was probably under way when it was aborted"),
        Sureness::Possible => format!("another try of {step} may have been under way when it was aborted"),
    };
    Some(if again {
        format!("{begin}: it may have happened besides the tries on record, and that is not rolled back")
    } else {
        format!("{begin}: it may have happened and is not rolled back")
    })
}

/// A step that failed and is tried again.
fn retry(saga: &Saga, steps: &[Entry]) -> String {
    match story::newest(steps).filter(|entry| entry.is("ERROR")) {
        Some(entry) => format!("try {} of step {} failed; it waits for the next try", entry.attempt, named(entry)),
        None if saga.retries > 0 => format!("try {} failed; it waits for the next try", saga.retries),
        None => "it waits for the next try of a step".into(),
    }
}

fn due(saga: &Saga, steps: &[Entry], model: Option<&Model>) -> String {
    if saga.handed && matches!(saga.status, Status::Running | Status::Compensating) {
        return "it was made due and waits for the next poll".into();
    }
    if saga.awaiting.is_none() {
        let what = if rolls_back(saga) { "a roll-back" } else { "a step" };
        return format!("it is time for the next try of {what}: the next poll picks it up");
    }
    let wait = "the time it waited for its event is over";
    match story::after_wait(saga, model) {
        AfterWait::RunsAgain => format!("{wait}: the next poll {}", again(saga, steps)),
        AfterWait::TimesOut => format!("{wait}: the next poll times it out"),
        AfterWait::Either => format!(
            "{wait}: the next poll times it out or executes the step again, depending on the library's version (which \
             the tables do not tell)"
        ),
        AfterWait::Fails => format!(
            "{wait}, and TIMEOUT is no label of the tables' types: each poll fails at it, and no saga of this table goes on"
        ),
        AfterWait::RunsAgainOrFails => format!(
            "{wait}: the next poll executes the step again (library before 0.4.0), or fails and with it every poll (0.4.0 \
             and later), for TIMEOUT is no label of the tables' types"
        ),
    }
}

const fn steps_are(count: i64) -> &'static str {
    if count == 1 { "step is" } else { "steps are" }
}

pub(super) fn evidence(saga: &Saga, steps: &[Entry], state: State) -> Vec<String> {
    let mut out = Vec::new();
    match saga.over {
        Some(over) if over >= 0 && state.severity() != Severity::Ok => {
            out.push(format!("its deadline passed {} ago", sen_model::time::age(over)));
        }
        Some(over) if state.severity() == Severity::Pending => {
            let what = match state {
                State::WaitingRetry => "the next try is due",
                State::WaitingEvent => "its wait is over",
                _ => "its lease ends",
            };
            out.push(format!("{what} in {}", sen_model::time::age(over)));
        }
        None if state == State::WaitingEvent => out.push("it waits without a limit in time".into()),
        _ => {}
    }
    if let Some(gap) = story::claimed_again(saga, steps) {
        out.push(format!(
            "claimed {} after its last recorded result: an earlier claim of this step left none",
            sen_model::time::age(gap)
        ));
    }
    if let Some(last) = story::newest(steps) {
        let end = match last.status.as_str() {
            "SUCCESS" if last.skipped => "was skipped",
            "SUCCESS" => "succeeded",
            "ERROR" => "failed",
            "WAITING" => "began to wait",
            "TIMEOUT" => "timed out",
            other => other,
        };
        let what = if last.compensates() { "rolling back step" } else { "step" };
        let error = last.error.as_deref().map(|error| format!(": {}", first_line(error))).unwrap_or_default();
        out.push(format!("last recorded: {what} {} {end}, try {}{error}", named(last), last.attempt));
    }
    if let Some(act) = steps.iter().rev().find(|entry| entry.act().is_some()) {
        let (who, why) = act.author();
        let who = who.unwrap_or_else(|| "an operator".to_owned());
        let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
        out.push(format!("last act of an operator: {} by {who}{why}", act.act().unwrap_or_default()));
    }
    if !matches!(state, State::Failed | State::PartlyCompensated | State::Compensated) {
        // There the first sentence says it.
        out.extend(in_flight(saga, steps));
    }
    if saga.retries > 0 {
        let tries = if saga.retries == 1 { "try" } else { "tries" };
        out.push(format!(
            "{} failed {tries} of this step; how many its retry policy allows is not stored",
            saga.retries
        ));
    }
    if state == State::Failed && saga.compensated == Some(false) {
        out.push(match story::roll_back(saga, steps) {
            RollBack::UnderWay => under_way(steps),
            RollBack::Possible => {
                "no compensation is on record, but the library's abort does not record whether a roll-back \
                was under way then"
                    .into()
            }
            RollBack::None => "no compensation is on record".into(),
        });
    }
    out.extend(impossible(saga, state).map(str::to_owned));
    if let Some(later) = &saga.later {
        out.push(format!("a later saga of this aggregation, {}, is {}", later.id, later.words()));
    }
    if matches!(state, State::Stuck | State::Overdue | State::BetweenSteps) {
        out.push(format!("row last changed {} ago", sen_model::time::age(saga.idle)));
    }
    out.extend(saga.unreadable.iter().map(|what| format!("unreadable: {what}")));
    out
}

/// What operators look for and the library has no way to.
fn impossible(saga: &Saga, state: State) -> Option<&'static str> {
    match state {
        State::Failed if saga.compensated == Some(false) => Some(
            "it cannot be ended with a result by hand: the library skips a step only while the saga is suspended; if the step's \
            work was done already, settle its key first with reconcile, so that the retry gets that result and does not act twice",
        ),
        State::PartlyCompensated => Some(
            "it cannot be marked as rolled back by hand: the library ends it only when each roll-back has succeeded; what was \
            undone elsewhere, the roll-back itself must find out",
        ),
        _ => None,
    }
}

/// What an abort during a roll-back leaves open.
pub(crate) fn under_way(steps: &[Entry]) -> String {
    let step = story::next_to_roll_back(steps).map(|entry| format!(" of step {}", named(entry))).unwrap_or_default();
    format!("it was aborted while a roll-back{step} was under way, which may have happened although none is on record")
}

/// What is known of a saga beside its own row.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beside {
    /// Whether a session has its row locked.
    pub locked: bool,
    /// Whether the event it waits for is in an inbox.
    pub event_stored: bool,
}

pub(super) fn next(saga: &Saga, steps: &[Entry], state: State, beside: Beside) -> Vec<NextCommand> {
    let command =
        |verb: &str, why: &str| NextCommand::new(&["sen", "saga", verb], why).id(&saga.id).purpose(Purpose::Run);
    let abort = |why: &str| command("abort", why).purpose(Purpose::GiveUp);
    let rollback = |condition: &str| {
        let why = match story::in_flight(saga, steps) {
            Some(_) => "roll back the steps that are on record as done, not the one that was under way",
            None => "roll back the steps that are done",
        };
        (saga.step > 0).then(|| command("compensate", &format!("{condition}{why}")))
    };
    let unwanted = "the saga is not wanted any more: ";
    let later = saga.later.as_ref().filter(|later| later.counts()).map(|later: &Later| {
        NextCommand::new(&["sen", "saga", "show"], "the later saga, which may have done the same work already")
            .id(&later.id)
    });
    match state {
        State::Stuck => {
            // A worker that has the row locked may be at it.
            let unstick =
                (!beside.locked).then(|| command("unstick", "the saga is still wanted: the next poll goes on with it"));
            let abort = abort("the saga is not wanted any more: it becomes failed, and nothing is rolled back yet");
            unstick.into_iter().chain([abort]).collect()
        }
        State::PartlyCompensated => rollback("once the cause of the error is gone: ").into_iter().collect(),
        State::Failed => {
            let doubt = story::roll_back(saga, steps) != RollBack::None;
            let in_flight = story::in_flight(saga, steps).is_some();
            let retry = (saga.compensated == Some(false) && !doubt).then(|| match &later {
                _ if in_flight => {
                    command("retry", "once you know that the step under way did not happen: execute it again")
                }
                Some(_) => {
                    command("retry", "its work is still to be done, also after the later saga: execute the step again")
                }
                None => command("retry", "the saga is still wanted: execute the step again"),
            });
            let later = later.map(|show| show.purpose(Purpose::Observe));
            let condition = if retry.is_some() { unwanted } else { "" };
            [later, retry, rollback(condition)].into_iter().flatten().collect()
        }
        State::TimedOut => {
            let retry = command("retry", "the saga is still wanted: execute the step again, to ask and wait anew");
            let later = later.map(|show| show.purpose(Purpose::Observe));
            let abort = abort("the same, and nothing is to be rolled back: the saga becomes failed");
            [later, Some(retry), rollback(unwanted), Some(abort)].into_iter().flatten().collect()
        }
        State::WaitingRetry | State::Due if saga.status == Status::Suspended => vec![
            command("retry", "try the step now, with the tries counted anew"),
            NextCommand::new(
                &["sen", "saga", "skip"],
                "it has been done elsewhere: count it as done, with the output you give",
            )
            .id(&saga.id)
            .purpose(Purpose::Run)
            .option_mark("--result", "json"),
        ],
        State::WaitingRetry | State::Due if saga.status == Status::CompensatingSuspended => {
            rollback("").into_iter().collect()
        }
        // The next poll hands it the event that is stored.
        State::WaitingEvent if beside.event_stored => Vec::new(),
        State::WaitingEvent => {
            let mut next = command("notify", "hand it the event it waits for");
            if let Some(kind) = saga.awaiting.as_ref().and_then(|awaiting| awaiting.types.first()) {
                next = next.option("--type", kind);
            }
            if let Some(id) = saga.awaiting.as_ref().and_then(|awaiting| awaiting.correlation.as_deref()) {
                next = next.option("--correlation", id);
            }
            vec![next.option_mark("--payload", "json")]
        }
        State::Overdue => {
            let why = "first start the worker that calls run_due, or see why its polls fail; this ends when the saga has ended";
            vec![NextCommand::new(&["sen", "wait"], why).id(&saga.id)]
        }
        State::Unreadable => {
            vec![
                NextCommand::new(&["sen", "saga", "show", "-o", "json"], "every fact of it, for a ticket").id(&saga.id),
            ]
        }
        _ => Vec::new(),
    }
}
