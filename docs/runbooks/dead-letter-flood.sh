#!/bin/sh
# Runbook: dead letters are piling up, their cause is mended, and they are to run again.
#
#   dead-letter-flood.sh            shows the groups and ends
#   dead-letter-flood.sh GROUP [RATE] [REASON]
#
# GROUP is a group's id as `sen dlq groups` shows it. One dead letter goes first, as a canary; when it has completed within
# SETTLE (5m), the others follow at RATE (20/s). Needs DATABASE_URL and jq. Ends with 0 when all are under way, with 3 when some
# were skipped, with 10 when the canary failed again (the cause is still there), with 8 when it has not ended within SETTLE, and
# with sen's own code when it could not go on. Without a completed canary nothing else is replayed.
set -eu

if [ $# -eq 0 ]; then
    sen dlq groups
    exit 0
fi
group=$1
rate=${2:-20/s}
reason=${3:-"runbook dead-letter-flood"}
settle=${SETTLE:-5m}

# 1. What is it? The plan names what a replay will do, and what it leaves alone.
sen dlq list --group "$group" --limit 5 --fail-if-empty
sen dlq replay --group "$group" --dry-run

# 2. One dead letter, the oldest. Its work goes on under a new id, or under its own.
report=$(sen dlq replay --group "$group" --limit 1 --yes --reason "$reason, canary" -o json)
canary=$(printf '%s' "$report" | jq -r '.results[0] | .new_id // (.subject | split(":")[2:] | join(":"))')

# 3. Has it completed? Anything but a yes ends here, an error of the database, too.
ended=0
sen wait "$canary" --timeout "$settle" || ended=$?
case $ended in
    0) ;;
    8) echo "the canary has not ended within $settle: is there a worker? nothing else was replayed" && exit 8 ;;
    10) echo "the canary failed again: the cause is still there; nothing else was replayed" && exit 10 ;;
    *) exit "$ended" ;;
esac

# 4. The others, slowly enough for the service that was overloaded the first time.
sen dlq replay --group "$group" --rate "$rate" --yes --reason "$reason" || ended=$?
case $ended in
    0 | 3) ;;
    4) ended=0 ;; # The canary was the only one.
    *) exit "$ended" ;;
esac

# 5. What is left?
sen dlq groups
sen stats
exit "$ended"
