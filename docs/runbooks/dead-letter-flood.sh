#!/bin/sh
# Runbook: dead letters are piling up, their cause is mended, and they are to run again.
#
#   dead-letter-flood.sh            shows the groups and ends
#   dead-letter-flood.sh GROUP [RATE] [REASON]
#
# GROUP is a group's id as `sen dlq groups` shows it. One dead letter goes first, as a canary; when it has not died again after
# SETTLE (60s), the others follow at RATE (20/s). Needs DATABASE_URL. Ends with 0 when all are under way, with 3 when some
# were skipped, with 10 when the canary died again (the cause is still there), and with sen's own code when it could not go on.
set -eu

if [ $# -eq 0 ]; then
    sen dlq groups
    exit 0
fi
group=$1
rate=${2:-20/s}
reason=${3:-"runbook dead-letter-flood"}
settle=${SETTLE:-60s}

# 1. What is it? The plan names what a replay will do, and what it leaves alone.
sen dlq list --group "$group" --limit 5 --fail-if-empty
sen dlq replay --group "$group" --dry-run

# 2. One dead letter, the oldest.
sen dlq replay --group "$group" --limit 1 --yes --reason "$reason, canary"

# 3. Did it die again? A dead letter of this group that is younger than the canary would say so.
sleep "${settle%s}"
if sen dlq list --group "$group" --since "$settle" --fail-if-empty --quiet >/dev/null 2>&1; then
    echo "the canary died again: the cause is still there"
    sen dlq list --group "$group" --since "$settle"
    exit 10
fi

# 4. The others, slowly enough for the service that was overloaded the first time.
ended=0
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
