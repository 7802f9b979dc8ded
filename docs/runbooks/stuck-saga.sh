#!/bin/sh
# Runbook: a saga does not move.
#
#   stuck-saga.sh SAGA [REASON]
#
# SAGA is its id, or the id of what it is about. Makes a saga due that no poll picks up, tries a failed step again
# once, and leaves everything that needs a decision to a person. Needs DATABASE_URL and jq. Ends with 0 when the saga goes on
# or needs nothing, with 8 when it is only waiting, with 10 when a person must decide (what can be decided is shown).
set -eu

saga=$1
reason=${2:-"runbook stuck-saga"}

# 1. What is it, and why?
sen why "$saga"
state=$(sen saga show "$saga" -o jsonl | tail -n 1 | jq -r .verdict.state)

# 2. What can be done without a decision?
case $state in
    completed | compensated)
        echo "$saga is over: $state"
        ;;
    stuck)
        echo "it has no deadline, so no poll picks it up: it is made due, and goes on at its current step"
        sen saga unstick "$saga" --yes --reason "$reason"
        ;;
    failed | timed_out)
        echo "its step is tried again, once; if it fails again, a person decides"
        sen saga retry "$saga" --yes --reason "$reason"
        ;;
    running | compensating | between_steps | lease_expired | due | waiting_retry | waiting_event)
        echo "$saga is on its way: $state"
        exit 8
        ;;
    *)
        echo "a person must decide: $state"
        sen saga show "$saga"
        exit 10
        ;;
esac
