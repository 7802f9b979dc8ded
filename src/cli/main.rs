//! The `sen` binary: parse, run one command, show what it found, end with a documented exit code.

mod app;
mod clean;
mod commands;
mod completion;
mod consent;
mod exit;
mod fault;
mod interrupt;
mod mask;
mod output;
mod progress;
mod screen;
mod session;
mod settings;
#[cfg(test)]
mod suggested;
mod views;
mod watch;

use std::process::ExitCode;

fn main() -> ExitCode {
    app::run(std::env::args_os().collect()).into()
}
