//! The brakes of bulk acts, and following what they have changed.

use std::time::Duration;

use sen_core::error::{Error, Result};
use sen_core::model::brakes::{Brakes, Following, IN_FLIGHT, percent};
use sen_core::model::course::Followed;
use sen_core::model::prepared::PreparedAction;
use sen_core::model::text::many;
use sen_core::model::verdict::NextCommand;
use sen_core::ops::course::Follower;
use sen_core::registry::Database;

use crate::args::span;

/// Above the options.
const BRAKES: &str = "Brakes";
/// How long is waited where nothing is said.
const PATIENCE: Duration = Duration::from_secs(300);

/// Options of bulk acts whose targets go on to work.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct BrakeOptions {
    /// Apply N first, chosen across groups, and the rest only if those went well
    #[arg(long, help_heading = BRAKES, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub canary: Option<u32>,

    /// How long to wait for the canary, and while nothing in flight ends [default: 5m]
    #[arg(long, help_heading = BRAKES, value_name = "SPAN", value_parser = span)]
    pub canary_timeout: Option<Duration>,

    /// Stop when more than this share of what was begun has died again: 10%
    #[arg(long, help_heading = BRAKES, value_name = "SHARE", value_parser = share)]
    pub abort_above: Option<f64>,

    /// Never have more than N begun and unfinished
    #[arg(long, help_heading = BRAKES, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_in_flight: Option<u32>,
}

/// Reads a share for clap.
fn share(text: &str) -> Result<f64, String> {
    let number = text.trim().strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    number
        .filter(|number| (0.0..100.0).contains(number))
        .map(|number| number / 100.0)
        .ok_or_else(|| format!("{text:?} is not a share: write it like 10% (0% to below 100%)"))
}

impl BrakeOptions {
    /// The options that are given.
    fn named(&self) -> Vec<&'static str> {
        [
            ("--canary", self.canary.is_some()),
            ("--canary-timeout", self.canary_timeout.is_some()),
            ("--abort-above", self.abort_above.is_some()),
            ("--max-in-flight", self.max_in_flight.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
        .collect()
    }

    /// They brake an act while it is applied: what is only written to a file does not keep them.
    ///
    /// # Errors
    /// `Usage` where any is given.
    pub fn must_be_absent(&self) -> Result<()> {
        let named = self.named();
        if named.is_empty() {
            return Ok(());
        }
        Err(Error::usage(format!("{} cannot be used with --plan-out: a plan does not keep them", named.join(", ")))
            .with_hint("give them to `sen apply`"))
    }

    /// The options as they are given again.
    pub fn words(&self) -> Vec<String> {
        let span = |span: Duration| match span.subsec_millis() {
            0 => format!("{}s", span.as_secs()),
            _ => format!("{}ms", span.as_millis()),
        };
        let values = [
            ("--canary", self.canary.map(|number| number.to_string())),
            ("--canary-timeout", self.canary_timeout.map(span)),
            ("--abort-above", self.abort_above.map(|share| format!("{}%", percent(share)))),
            ("--max-in-flight", self.max_in_flight.map(|number| number.to_string())),
        ];
        values.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?])).flatten().collect()
    }

    /// Why a brake can hardly stop anything: a canary is no smaller than the plan, or nothing waits before all of so many are begun.
    pub fn idle(&self, targets: u64) -> Option<String> {
        if let Some(canary) = self.canary.filter(|canary| targets > 0 && u64::from(*canary) >= targets) {
            return Some(format!(
                "--canary {canary} stops nothing here: the plan has {}, which are applied together",
                many(targets, "target")
            ));
        }
        let most = self.max_in_flight.map_or(IN_FLIGHT as u64, u64::from);
        let idle = self.abort_above.is_some() && self.canary.is_none() && (1..=most).contains(&targets);
        idle.then(|| {
            format!(
                "--abort-above can hardly stop anything here: the plan has {}, and up to {most} are begun without waiting for any to \
                 end; use --canary, or a smaller --max-in-flight",
                many(targets, "target")
            )
        })
    }

    /// Who follows what this action will change; `None` where nothing is to be braked.
    ///
    /// # Errors
    /// `Usage` where it cannot be followed, or where only a time limit is given.
    pub fn follower<'a>(
        &self,
        database: &'a Database,
        action: &dyn PreparedAction,
    ) -> Result<Option<(&Self, Follower<'a>)>> {
        match self.named()[..] {
            [] => return Ok(None),
            ["--canary-timeout"] => {
                return Err(Error::usage("--canary-timeout is the time limit of a brake, and none is given")
                    .with_hint("add --canary, --abort-above or --max-in-flight"));
            }
            _ => {}
        }
        match &action.plan().unfollowed {
            Some(why) => Err(Error::usage(format!(
                "{} cannot be used here, as this act cannot be followed: {why}",
                self.named().join(", ")
            ))),
            None => Ok(Some((self, Follower::of(database, action.act()?)?))),
        }
    }

    /// The brakes; `before` was begun by an earlier run of the operation.
    pub fn brakes<'a>(&self, following: &'a dyn Following, before: Vec<Followed>) -> Brakes<'a> {
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        Brakes {
            canary: self.canary.map(count),
            abort_above: self.abort_above,
            max_in_flight: self.max_in_flight.map(count),
            patience: self.canary_timeout.unwrap_or(PATIENCE),
            following,
            before,
        }
    }
}

/// The command that goes on with an operation, with the brakes that its last run had.
pub fn resuming(operation: &str, brakes: &[String]) -> NextCommand {
    let why = if brakes.is_empty() { "apply what is left" } else { "apply what is left, with the same brakes" };
    let words: Vec<&str> = brakes.iter().map(String::as_str).collect();
    NextCommand::new(&["sen", "op", "resume"], why).id(operation).with(&words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_given_again_as_they_were() {
        let options = BrakeOptions {
            canary: Some(2),
            canary_timeout: Some(Duration::from_millis(1500)),
            abort_above: share("7%").ok(),
            max_in_flight: None,
        };
        assert_eq!(options.words().join(" "), "--canary 2 --canary-timeout 1500ms --abort-above 7%");
    }

    #[test]
    fn a_share_of_what_is_all_begun_at_once_stops_nothing() {
        let options = |canary, max_in_flight| BrakeOptions {
            canary,
            max_in_flight,
            abort_above: Some(0.1),
            ..BrakeOptions::default()
        };
        assert!(
            options(None, None).idle(100).is_some_and(|line| line.contains("the plan has 100 targets, and up to 100"))
        );
        assert_eq!((options(None, None).idle(101), options(Some(1), None).idle(9)), (None, None));
        assert!(options(Some(9), None).idle(9).is_some_and(|line| line.contains("--canary 9 stops nothing here")));
        assert_eq!((options(None, Some(8)).idle(9), options(None, None).idle(0)), (None, None));
    }

    #[test]
    fn shares() {
        assert_eq!((share("10%"), share("0 %"), share("2.5%")), (Ok(0.1), Ok(0.0), Ok(0.025)));
        for bad in ["10", "100%", "-1%", "x%", "NaN%", ""] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }
}
