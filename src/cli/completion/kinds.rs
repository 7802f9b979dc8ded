//! What stands where on the command line, told by the names of commands and arguments. Pure.

/// How an argument is completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// By values of this kind from the database (`System::complete` lists the kinds).
    Live(&'static str),
    /// By paths of files.
    Path,
}

/// The kind of an argument of the command with these words.
pub fn kind(command: &[&str], arg: &clap::Arg) -> Option<Kind> {
    let noun = command.first().copied().unwrap_or_default();
    let shown = arg.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
    let live = |kind| Some(Kind::Live(kind));
    if matches!(shown, "FILE" | "PATH" | "DIR" | "FOLDER") {
        return Some(Kind::Path);
    }
    if !arg.get_num_args().unwrap_or_default().takes_values() || !arg.get_possible_values().is_empty() {
        return None;
    }
    match arg.get_id().as_str() {
        "namespace" => return live("namespace"),
        "queue" | "queues" => return live("queue"),
        "group" | "groups" => return live("group"),
        "worker" => return live("worker"),
        "state" | "states" => {
            return match noun {
                "list" => live("lease_state"),
                "exec" => live("execution_state"),
                "task" => live("task_state"),
                "saga" => live("saga_state"),
                "agent" => live("agent_task_state"),
                _ => None,
            };
        }
        _ => {}
    }
    let id = arg.is_positional() && shown.split(['|', ' ', '_', '.', '…']).any(|word| matches!(word, "KEY" | "ID"));
    if !id {
        return None;
    }
    match noun {
        "history" | "reconcile" | "release" | "forget" | "wait" | "once" => live("lease"),
        "exec" => live("execution"),
        "task" => live("task"),
        "dlq" => live("letter"),
        "saga" if command.iter().any(|word| matches!(*word, "outbox" | "inbox")) => live("message"),
        "saga" => live("saga"),
        "agent" => live("agent_task"),
        _ => live("any"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    #[test]
    fn arguments_are_told_by_their_names() {
        let key = || Arg::new("keys").value_name("KEY").num_args(1);
        assert_eq!(kind(&["inspect"], &key()), Some(Kind::Live("any")));
        assert_eq!(kind(&["history"], &key()), Some(Kind::Live("lease")));
        let id = || Arg::new("ids").value_name("ID").num_args(1);
        assert_eq!(kind(&["dlq", "replay"], &id()), Some(Kind::Live("letter")));
        assert_eq!(kind(&["saga", "show"], &id()), Some(Kind::Live("saga")));
        assert_eq!(kind(&["saga", "outbox", "requeue"], &id()), Some(Kind::Live("message")));
        let state = Arg::new("state").long("state").value_name("STATE,…").num_args(1);
        assert_eq!(kind(&["exec", "list"], &state), Some(Kind::Live("execution_state")));
        assert_eq!(kind(&[], &Arg::new("env_file").long("env-file").value_name("FILE").num_args(1)), Some(Kind::Path));
        assert_eq!(kind(&["list"], &Arg::new("limit").long("limit").value_name("N").num_args(1)), None);
    }
}
