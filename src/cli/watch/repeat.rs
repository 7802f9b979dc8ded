//! `--watch`: repeats a command that lists or shows. On a terminal each output replaces the one before; in a pipe they follow
//! one another.

use std::time::Duration;

use sen_core::time::{Timestamp, Uptime, humane};
use tokio::time::Instant;

use super::live::SHARE;
use super::pace::Pace;
use crate::exit::Exit;
use crate::output::Format;
use crate::screen::Screen;

/// What can be repeated: commands that only read and come to an end. Named by their words, so that what is not named here
/// is never run twice by mistake.
const REPEATABLE: &[&[&str]] = &[
    &["status"],
    &["list"],
    &["inspect"],
    &["why"],
    &["timeline"],
    &["stats"],
    &["doctor"],
    &["dlq", "list"],
    &["dlq", "groups"],
    &["dlq", "show"],
    &["exec", "list"],
    &["exec", "show"],
    &["task", "list"],
    &["task", "show"],
    &["saga", "list"],
    &["saga", "show"],
    &["saga", "outbox", "list"],
    &["saga", "inbox", "list"],
    &["agent", "list"],
    &["agent", "show"],
    &["agent", "stats"],
    &["agent", "costs"],
    &["agent", "workers"],
    &["op", "list"],
    &["op", "show"],
];

/// Whether the command of these words can be repeated.
pub fn can(words: &[String]) -> bool {
    REPEATABLE.iter().any(|known| *known == words)
}

/// Runs `once` on a fresh screen every so often, less often where it takes long, until it is interrupted or a run shows
/// that no other will do better.
pub async fn repeat(
    every: Duration,
    title: &str,
    format: Format,
    screen: impl Fn() -> Screen,
    mut once: impl AsyncFnMut(Screen) -> Exit,
) -> Exit {
    let mut pace = Pace::new(every.max(Duration::from_millis(100)), SHARE);
    let mut last: Option<Vec<u8>> = None;
    let mut rounds = 0_u64;
    loop {
        let (begun, start) = (Instant::now(), Uptime::now());
        let mut screen = screen();
        let frame = screen.frame();
        let plain = frame.is_none();
        if plain && rounds > 0 && format == Format::Table && !screen.line(&format!("--- {}\n", Timestamp::here())) {
            return Exit::Done;
        }
        let exit = once(screen).await;
        let took = start.until(Uptime::now());
        pace.took(took);
        let hopeless = matches!(exit, Exit::Usage | Exit::Refused | Exit::Interrupted)
            || (last.is_none() && matches!(exit, Exit::Connect | Exit::Error));
        if let Some(frame) = frame {
            let mut body = frame.take();
            if hopeless {
                frame.print(&body);
                return exit;
            }
            let failed = matches!(exit, Exit::Connect | Exit::Error);
            match (&last, failed) {
                // The last good output stays visible below the error.
                (Some(good), true) => {
                    body.push(b'\n');
                    body.extend_from_slice(good);
                }
                _ => last = Some(body.clone()),
            }
            let ago = humane(i64::try_from(took.as_micros()).unwrap_or(i64::MAX).max(1000));
            let every = humane(i64::try_from(pace.interval().as_micros()).unwrap_or(i64::MAX));
            let stretched = if pace.stretched() { " (it takes long)" } else { "" };
            let clock = Timestamp::here().to_string();
            let clock = clock.get(11..19).unwrap_or_default();
            frame.show(&format!("{title}   every {every}{stretched}   {clock}Z   took {ago}"), &body);
        } else if hopeless {
            return exit;
        } else {
            last = Some(Vec::new());
        }
        rounds += 1;
        tokio::time::sleep_until(begun + pace.interval()).await;
    }
}
