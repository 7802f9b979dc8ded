//! The progress of a long act, as a bar on a terminal's stderr. Besides `screen.rs` the only file that writes to a stream.

use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use sen_core::observe::Observer;

use crate::clean::clean;

/// Fewer items than this are done before a bar could be read.
const WORTH_A_BAR: u64 = 100;

/// Shows the progress of an act on a terminal, and collects its messages.
pub struct Progress {
    bar: ProgressBar,
    shown: bool,
    said: Mutex<Vec<String>>,
    announced: Mutex<Vec<(String, String)>>,
}

impl Progress {
    /// A bar that appears when an act begins that is worth it, if `shown`.
    pub fn new(shown: bool) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        Self { bar, shown, said: Mutex::default(), announced: Mutex::default() }
    }

    /// Messages for listening programs, each with its topic.
    pub fn announced(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.announced.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Removes the bar and returns the collected messages.
    pub fn finish(self) -> Vec<String> {
        self.bar.finish_and_clear();
        self.said.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Progress {
    fn begin(&self, what: &str, total: Option<u64>) {
        if !self.shown || total.is_some_and(|total| total < WORTH_A_BAR) {
            return;
        }
        let template = match total {
            Some(_) => "{msg} {wide_bar} {human_pos}/{human_len} {pace} eta {eta}",
            None => "{msg} {human_pos} {pace} {elapsed}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            let pace = |state: &ProgressState, out: &mut dyn Write| {
                let _ = write!(out, "{:.0}/s", state.per_sec());
            };
            self.bar.set_style(style.progress_chars("=> ").with_key("pace", pace));
        }
        if let Some(total) = total {
            self.bar.set_length(total);
        }
        let what = crate::mask::message(what);
        let what = clean(&what);
        self.bar.set_message(what.split_whitespace().next().unwrap_or_default().to_owned());
        self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        self.bar.enable_steady_tick(Duration::from_millis(200));
    }

    fn advance(&self, done: u64) {
        self.bar.inc(done);
    }

    fn waiting(&self, what: &str) {
        self.bar.set_message(clean(&crate::mask::message(what)).into_owned());
    }

    fn say(&self, line: &str) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
    }

    fn announce(&self, topic: &str, message: &str) {
        let said = (topic.to_owned(), message.to_owned());
        self.announced.lock().unwrap_or_else(PoisonError::into_inner).push(said);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_kept_and_nothing_is_drawn_unseen() {
        let progress = Progress::new(false);
        progress.begin("replay", Some(1_000_000));
        progress.advance(5);
        progress.say("look");
        assert!(progress.bar.is_hidden());
        assert_eq!(progress.finish(), ["look"]);
    }
}
