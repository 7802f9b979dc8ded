#!/bin/sh
# Runbook: what is known of a key or id, as Markdown for a ticket: the chain of causes, and what to do next.
#
#   ticket.sh KEY
#
# Needs DATABASE_URL and jq. Changes nothing. Ends with sen's own code: 4 when nothing has the key.
set -eu
why=$(sen why "$1" -o json)
printf '%s' "$why" | jq -r '"## \(.id): \(.worst)", "",
    (.chain[] | "- **\(.subject)** is \(.state): \(.summary)", (.causes[] | "  - \(.severity), \(.certainty): \(.summary)")),
    "", "Next:", "", (.next[] | "    \(.command)   # \(.step // "see") \(.why)")'
