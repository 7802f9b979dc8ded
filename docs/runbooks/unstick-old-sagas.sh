#!/bin/sh
# Runbook: sagas that no poll has picked up for long are made due, and what became of each is told.
#
#   unstick-old-sagas.sh [AGE] [REASON]
#
# Needs DATABASE_URL and jq. Ends with 0 when all of those unchanged for AGE (1h) have settled within SETTLE (2m) or there are none,
# with 8 when some have not, with 10 when some need a person; with the code of `sen saga unstick` when that could not be done.
set -eu
ids=$(sen saga list --state stuck --older-than "${1:-1h}" --limit 0 -o json)
ids=$(printf '%s' "$ids" | jq -r '.[].id')
[ -n "$ids" ] || exit 0
sen saga unstick $ids --yes --reason "${2:-runbook unstick-old-sagas}" >&2
ended=0
waited=$(sen wait $ids --timeout "${SETTLE:-2m}" -o json) || ended=$?
printf '%s' "$waited" | jq -r 'if type == "array" then .[] else . end | [.id, .state, .outcome] | @tsv'
exit "$ended"
