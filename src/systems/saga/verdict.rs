//! What a saga's facts amount to: its state with the reasons for it, and what to type. Pure.

use super::record::{Entry, Saga};
use super::shape::Model;
pub use super::state::State;
use super::story;
use sen_model::verdict::{Severity, Verdict};

pub(super) mod words;

pub use words::Beside;

/// Judges a saga by itself, its recorded steps (in time order; none when they were not read) and its tables.
pub fn judge(saga: &Saga, steps: &[Entry], model: Option<&Model>, beside: Beside) -> Verdict {
    let state = State::of(saga);
    // What may have happened and is not rolled back is not settled.
    let open = state == State::Compensated && story::in_flight(saga, steps).is_some();
    Verdict {
        state: state.name(),
        severity: if open { Severity::Warning } else { state.severity() },
        summary: words::summary(saga, steps, state, model),
        evidence: words::evidence(saga, steps, state),
        next: words::next(saga, steps, state, beside),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::saga;
    use crate::record::{Awaiting, Status};

    #[test]
    fn every_state_has_words() {
        for state in State::ALL {
            let statuses = state.stored().iter().map(|status| Status::parse(status));
            for saga in statuses.flat_map(|status| [None, Some(-5), Some(5)].map(|over| saga(status.clone(), over))) {
                assert!(!judge(&saga, &[], None, Beside::default()).summary.is_empty(), "{saga:?}");
            }
        }
    }

    #[test]
    fn an_overdue_saga_keeps_what_its_step_may_have_done_and_leads_out_of_the_list() {
        let late = Some(10 * crate::state::OVERDUE);
        for (status, left) in
            [(Status::Running, "the step may have happened"), (Status::Compensating, "the roll-back may")]
        {
            let verdict = judge(&saga(status, late), &[], None, Beside::default());
            assert!(verdict.state == "overdue" && verdict.summary.contains(left), "{verdict:?}");
            assert!(verdict.next[0].command.starts_with("sen wait 73277b4b"), "{verdict:?}");
            assert!(verdict.next[0].why.contains("run_due"), "{verdict:?}");
        }
        // Nothing was under way while it waited, or where an act made it due.
        for quiet in [saga(Status::Suspended, late), Saga { handed: true, ..saga(Status::Running, late) }] {
            let verdict = judge(&quiet, &[], None, Beside::default());
            assert!(!verdict.summary.contains("may have happened"), "{verdict:?}");
        }
    }

    #[test]
    fn stuck_sagas_point_to_unstick_and_waiting_ones_to_notify() {
        assert!(
            judge(&saga(Status::Running, None), &[], None, Beside::default()).next[0]
                .command
                .starts_with("sen saga unstick 7327")
        );
        let awaiting = Some(Awaiting { types: vec!["pay me".into()], correlation: Some("o-1".into()), until: None });
        let verdict = judge(&Saga { awaiting, ..saga(Status::Suspended, None) }, &[], None, Beside::default());
        assert!(verdict.next[0].command.contains("--type 'pay me' --correlation o-1"), "{verdict:?}");
    }
}
