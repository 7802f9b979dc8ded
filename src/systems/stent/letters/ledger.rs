//! A report of many letters: it lists what it can and counts the rest.

use std::collections::BTreeMap;

use sen_model::batch::LISTED;
use sen_model::error::Error;
use sen_model::plan::Plan;
use sen_model::report::{Item, Outcome, Report};

use super::targets::TargetSet;
use crate::names::dead_letter;

/// A report that lists what it can and counts the rest.
pub(super) struct Ledger {
    pub(super) report: Report,
    listed: BTreeMap<Outcome, usize>,
}

impl Ledger {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut report = Report::new(plan.operation);
        report.items.extend(plan.refused.iter().cloned());
        for (_, count) in plan.set.iter().flat_map(|set| &set.skipped) {
            report.add_unlisted(Outcome::Skipped, *count);
        }
        Self { report, listed: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, id: &str, outcome: Outcome, detail: impl FnOnce() -> String) {
        let listed = self.listed.entry(outcome).or_default();
        *listed += 1;
        if *listed > LISTED {
            self.report.add_unlisted(outcome, 1);
        } else {
            self.report.items.push(Item::new(dead_letter(id), outcome, detail()));
        }
    }

    pub(super) fn rest(&mut self, chosen: &TargetSet, from: usize, outcome: Outcome, why: &str) {
        for at in from..chosen.len() {
            if let Some(wanted) = chosen.get(at) {
                self.add(&wanted.id, outcome, || why.to_owned());
            }
        }
    }

    /// Notes whether the connection is to blame for what failed.
    pub(super) fn met(&mut self, error: &Error) {
        self.report.lost |= error.is_of_the_connection();
    }

    pub(super) fn close(self) -> Report {
        self.report
    }
}

/// An error in one sentence.
pub(super) fn sentence(error: &Error) -> String {
    let mut why = error.to_string();
    why.extend(error.causes().iter().map(|cause| format!(": {cause}")));
    why.extend(error.hint().map(|hint| format!(" ({hint})")));
    why
}
