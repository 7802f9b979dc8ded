#!/bin/sh
# Runbook: one line for each thing that needs a person, with its count, its age and the command for it; for a monitor or a chat.
#
#   alert.sh
#
# Needs DATABASE_URL and jq. Ends with 0 when nothing is critical, with 10 when something is, with sen's own code otherwise.
set -eu
ended=0
status=$(sen status --check --severity critical -o json) || ended=$?
printf '%s' "$status" | jq -r '.attention[]
    | [.severity, (.count // "-"), (.kind // .system // "-"), (.state // "-"), (.oldest // "-"), .next[0].command] | @tsv'
exit "$ended"
