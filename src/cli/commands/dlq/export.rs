//! `sen dlq export`: dead letters as stored, for pipes.

use std::io::{BufWriter, Write as _};

use sen_core::ops::prefix;
use sen_core::error::{Error, ErrorKind, Result};

use super::filter::{DeadLetterFilter, SELECTION, dead_letter_systems};
use crate::completion::live::{Completes, Live};
use crate::exit::Exit;
use crate::screen;
use crate::session::Session;
use crate::views::{CommandOutput, View};

/// Write dead letters out as they are kept, one JSON object a line
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sen dlq export --all > letters.jsonl
  sen dlq export --group 3b1f0a92cc | jq -r .data.execution_id | sort -u

Nothing is changed. Payloads are as the system keeps them (of Stent: base64 of the codec's bytes), whatever -o says.")]
pub struct Args {
    /// Dead letter ids
    #[arg(value_name = "ID", conflicts_with = "all", add = Completes(Live::DeadLetter))]
    pub ids: Vec<String>,

    /// Every dead letter
    #[arg(long, help_heading = SELECTION)]
    pub all: bool,

    /// Only of this queue; `default` also means without one
    #[arg(long, value_name = "NAME", help_heading = SELECTION, add = Completes(Live::Queue))]
    pub queue: Option<String>,

    #[command(flatten)]
    which: DeadLetterFilter,

    /// Maximum number of dead letters (0 = unlimited)
    #[arg(long, help_heading = SELECTION, value_name = "N")]
    pub limit: Option<u64>,

    /// End with exit code 4 when nothing matches
    #[arg(long)]
    pub fail_if_empty: bool,
}

/// Runs it.
pub async fn run(args: Args, session: &Session) -> Result<CommandOutput> {
    args.which.named(&args.ids, args.queue.as_ref(), args.all)?;
    // What cannot be asked is refused before anything is opened.
    args.which.filter(&args.ids, args.queue.as_ref())?;
    let database = session.read().await?;
    let only = args.which.system.as_deref();
    let (ids, _) = prefix::whole(&database, only, prefix::DEAD_LETTERS, args.ids).await?;
    let mut filter = args.which.filter(&ids, args.queue.as_ref())?;
    filter.limit = args.limit.filter(|limit| *limit > 0);
    let (out, _) = screen::relay()?;
    let terminal = std::io::IsTerminal::is_terminal(&out);
    let mut out = BufWriter::with_capacity(1 << 16, out);
    let reveal = session.globals.reveal;
    let mut closed = false;
    let mut count = 0;
    for (system, letters) in dead_letter_systems(&database, args.which.system.as_deref()).await? {
        let mut sink = |lines: &str| {
            // A file gets every byte; a terminal gets filtered text.
            let mut seen = Vec::new();
            for (at, line) in lines.lines().enumerate().filter(|_| terminal) {
                seen.extend((at > 0).then_some(b'\n'));
                let line = if reveal { line.into() } else { crate::mask::mask(line) };
                crate::output::encode::raw(&mut seen, &line);
            }
            out.write_all(if terminal { &seen } else { lines.as_bytes() }).and_then(|()| out.write_all(b"\n")).map_err(
                |error| {
                    closed |= error.kind() == std::io::ErrorKind::BrokenPipe;
                    failed(error)
                },
            )
        };
        match letters.export(&filter, &mut sink).await {
            // The reader has closed the pipe.
            Err(_) if closed => return Ok(CommandOutput::new(View::Nothing)),
            answer => count += database.seen(system, answer)?.unwrap_or_default(),
        }
    }
    match out.flush() {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => return Err(failed(error)),
        _ => {}
    }
    if count == 0 {
        database.saw_all()?;
        session.note("no dead letters match");
    }
    let missing = count == 0 && (args.fail_if_empty || !ids.is_empty() || !filter.groups.is_empty());
    Ok(CommandOutput::new(View::Nothing).ending(if missing { Exit::NotFound } else { Exit::Done }))
}

fn failed(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, "cannot write to standard output").with_source(error)
}
