#!/bin/sh
# Runbook: dead letters of one group run again, and what became of each is told.
#
#   replay-and-wait.sh GROUP [LIMIT] [REASON]
#
# Needs DATABASE_URL and jq. Ends as `sen wait` does: 0 when all have completed, 8 when some have not ended within SETTLE (2m), 10
# when some failed again; with the code of `sen dlq replay` when nothing was replayed.
set -eu
report=$(sen dlq replay --group "$1" --limit "${2:-10}" --yes --reason "${3:-runbook replay-and-wait}" -o json)
ids=$(printf '%s' "$report" | jq -r '.results[] | select(.outcome == "applied") | .new_id // (.subject | split(":")[2:] | join(":"))')
ended=0
# The ids hold no blanks: each is a word.
waited=$(sen wait $ids --timeout "${SETTLE:-2m}" -o json) || ended=$?
printf '%s' "$waited" | jq -r 'if type == "array" then .[] else . end | [.id, .state, .outcome] | @tsv'
exit "$ended"
