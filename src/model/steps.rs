//! Which of several commands follow one another and which exclude one another. Pure.

use crate::next::{NextCommand, Purpose};
use crate::value::Value;

/// The commands about one record, each with its step: acts in a safe order, then what only shows more. Those that have their
/// steps are left so.
pub fn numbered(commands: &[NextCommand]) -> Vec<NextCommand> {
    if commands.iter().any(|command| command.step.is_some()) {
        return commands.to_vec();
    }
    of_systems(commands.iter().map(|command| ("", command)))
}

/// The same of records of several systems, which may be the same work under another name: where work can go on in more than one
/// of them, it is to go on in one only.
pub fn of_systems<'a>(commands: impl IntoIterator<Item = (&'a str, &'a NextCommand)>) -> Vec<NextCommand> {
    let mut known: Vec<(&str, NextCommand)> = Vec::new();
    for (system, command) in commands {
        if known.iter().all(|(_, known)| known.command != command.command) {
            known.push((system, command.clone()));
        }
    }
    known.sort_by_key(|(_, command)| command.purpose);
    let mut steps: Vec<Step<'_>> = Vec::new();
    for (system, command) in known {
        let about = about(&command);
        let place = about.as_ref().and_then(|about| {
            let own = |step: &&mut Step<'_>| step.about.as_ref() == Some(about) && step.system == system;
            steps.iter_mut().find(own)
        });
        match place {
            Some(step) => step.commands.push(command),
            None => steps.push(Step { about, system, commands: vec![command] }),
        }
    }
    elsewhere(&mut steps);
    let mut number = 0;
    let acts = steps.into_iter().flat_map(|step| {
        let step_number = step.about.is_some().then(|| {
            number += 1;
            number
        });
        step.commands.into_iter().map(move |command| command.in_step(step_number))
    });
    acts.collect()
}

/// As data: those with the same number are alternatives, the first of which is recommended.
pub fn values(commands: &[NextCommand]) -> Value {
    Value::List(numbered(commands).iter().map(NextCommand::value).collect())
}

/// The reason of each command with its step, for people: `1. …`, `2. either: …`, `   or: …`. The commands have their steps.
pub fn reasons(commands: &[NextCommand]) -> Vec<String> {
    let several = commands.iter().any(|command| command.step > Some(1));
    let mut last = None;
    let reason = |command: &NextCommand| {
        let Some(step) = command.step else { return command.why.clone() };
        let again = last.replace(step) == Some(step);
        let alone = commands.iter().filter(|other| other.step == Some(step)).count() == 1;
        let number = match (several, again) {
            (false, _) => String::new(),
            (true, false) => format!("{step}. "),
            (true, true) => " ".repeat(step.to_string().len() + 2),
        };
        let choice = match (alone, again) {
            (true, _) => "",
            (false, false) => "either: ",
            (false, true) => "or: ",
        };
        format!("{number}{choice}{}", command.why)
    };
    commands.iter().map(reason).collect()
}

struct Step<'a> {
    /// What is decided; nothing by a command that only shows more.
    about: Option<(Decision, String)>,
    system: &'a str,
    commands: Vec<NextCommand>,
}

#[derive(PartialEq, Eq)]
enum Decision {
    /// A look or a stop, which excludes nothing.
    Itself,
    /// What became of it.
    Outcome,
    /// Whether it goes on.
    Course,
}

fn about(command: &NextCommand) -> Option<(Decision, String)> {
    match command.purpose {
        Purpose::Look => None,
        Purpose::Observe | Purpose::Stop => Some((Decision::Itself, command.command.clone())),
        Purpose::Settle => Some((Decision::Outcome, command.ids())),
        Purpose::Run | Purpose::GiveUp | Purpose::RunDespite => Some((Decision::Course, command.ids())),
    }
}

/// Makes one step of what lets work go on in several systems; what gives it up in one of them is decided after that.
fn elsewhere(steps: &mut Vec<Step<'_>>) {
    let is_run = |command: &NextCommand| matches!(command.purpose, Purpose::Run | Purpose::RunDespite);
    let runs = |step: &Step<'_>| step.commands.iter().any(is_run);
    let Some(first) = steps.iter().position(runs) else { return };
    let mut systems = vec![steps[first].system];
    let mut given_up = Vec::new();
    let mut at = first + 1;
    while at < steps.len() {
        if !runs(&steps[at]) || systems.contains(&steps[at].system) {
            at += 1;
            continue;
        }
        let other = steps.remove(at);
        systems.push(other.system);
        let (run, rest): (Vec<_>, Vec<_>) = other.commands.into_iter().partition(is_run);
        steps[first].commands.extend(run);
        given_up.extend(rest);
    }
    if systems.len() == 1 {
        return;
    }
    let (run, own): (Vec<_>, Vec<_>) = std::mem::take(&mut steps[first].commands).into_iter().partition(is_run);
    steps[first].commands = run;
    let lead = &mut steps[first].commands[0];
    lead.why = format!("{} (only one of these, where they are the same work)", lead.why);
    let looks = steps.iter().position(|step| step.about.is_none()).unwrap_or(steps.len());
    let apart = own.into_iter().chain(given_up).map(|command| Step {
        about: Some((Decision::Itself, command.command.clone())),
        system: "",
        commands: vec![command],
    });
    steps.splice(looks..looks, apart);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &[&str], id: &str, purpose: Purpose) -> NextCommand {
        NextCommand::new(words, "").id(id).purpose(purpose)
    }

    fn told(commands: &[NextCommand]) -> Vec<(Option<u32>, &str)> {
        commands.iter().map(|command| (command.step, command.command.as_str())).collect()
    }

    #[test]
    fn what_goes_on_and_what_gives_it_up_exclude_each_other() {
        let of = numbered(&[
            command(&["sen", "history"], "k", Purpose::Look),
            command(&["sen", "saga", "unstick"], "s", Purpose::Run),
            command(&["sen", "saga", "abort"], "s", Purpose::GiveUp),
            command(&["sen", "reconcile"], "k", Purpose::Settle),
            command(&["sen", "saga", "unstick"], "s", Purpose::Run),
        ]);
        let want = [
            (Some(1), "sen reconcile k"),
            (Some(2), "sen saga unstick s"),
            (Some(2), "sen saga abort s"),
            (None, "sen history k"),
        ];
        assert_eq!(told(&of), want);
        assert_eq!(reasons(&of), ["1. ", "2. either: ", "   or: ", ""]);
    }

    #[test]
    fn other_records_of_a_system_are_decided_one_by_one() {
        let of = numbered(&[
            command(&["sen", "agent", "requeue"], "a", Purpose::Run),
            command(&["sen", "agent", "requeue"], "b", Purpose::Run),
            command(&["sen", "agent", "cancel"], "a", Purpose::GiveUp),
        ]);
        let want =
            [(Some(1), "sen agent requeue a"), (Some(1), "sen agent cancel a"), (Some(2), "sen agent requeue b")];
        assert_eq!(told(&of), want);
    }

    #[test]
    fn the_same_work_goes_on_in_one_system_only() {
        let all = [
            ("saga", command(&["sen", "saga", "retry"], "s", Purpose::Run)),
            ("saga", command(&["sen", "saga", "abort"], "s", Purpose::GiveUp)),
            ("stent", command(&["sen", "dlq", "replay"], "l", Purpose::Run)),
            ("stent", command(&["sen", "exec", "cancel"], "e", Purpose::Stop)),
            ("stent", command(&["sen", "exec", "show"], "e", Purpose::Look)),
        ];
        let of = of_systems(all.iter().map(|(system, command)| (*system, command)));
        let want = [
            (Some(1), "sen exec cancel e"),
            (Some(2), "sen saga retry s"),
            (Some(2), "sen dlq replay l"),
            (Some(3), "sen saga abort s"),
            (None, "sen exec show e"),
        ];
        assert_eq!(told(&of), want);
    }
}
