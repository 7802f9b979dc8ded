//! The `sen` binary: parses arguments, runs one command, prints its output, ends with a documented exit code.

mod app;
mod args;
mod clean;
mod commands;
mod completion;
mod consent;
mod contexts;
mod edits;
mod exit;
mod fault;
mod files;
mod help;
mod hook;
mod interrupt;
mod journal;
mod keys;
mod mask;
mod operator;
mod output;
mod plans;
mod progress;
mod screen;
mod sections;
mod session;
mod settings;
#[cfg(test)]
mod suggested;
mod times;
mod usage;
mod views;
mod watch;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Child processes must not read credentials from this process, and a crash must not write them to a core file.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    #[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = Rlimit { current: Some(0), ..getrlimit(Resource::Core) };
        let _ = setrlimit(Resource::Core, limit);
    }
    #[cfg(unix)]
    if std::env::args_os().nth(1).is_some_and(|word| word == commands::once::guard::WORD) {
        return commands::once::guard::run();
    }
    app::run(std::env::args_os().collect()).into()
}
