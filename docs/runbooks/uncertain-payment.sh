#!/bin/sh
# Runbook: a payment is uncertain.
#
#   uncertain-payment.sh KEY LOOKUP [REASON]
#
# KEY is the key as stored (payments:order-789). LOOKUP is a command that asks the payment provider for KEY: it prints the
# charge as one JSON document when the provider has it, prints nothing when the provider is sure it has none, and fails when
# it cannot tell. Needs DATABASE_URL. Ends with 0 when the key is settled, with 8 when its worker may still be alive, with
# 5 when another operator was faster, and with LOOKUP's own code when it cannot be known yet.
set -eu

key=$1
lookup=$2
reason=${3:-"runbook uncertain-payment"}

# 1. What is known? The exit code says whether a person is needed at all.
verdict=0
sen inspect --check "$key" || verdict=$?
case $verdict in
    0) echo "$key is settled: nothing to do"; exit 0 ;;
    8) echo "$key may still be under way: waiting for it"; sen wait "$key" --for settled --timeout "${WAIT:-5m}"; exit 0 ;;
    10) ;;
    *) exit "$verdict" ;;
esac

# 2. Why? For the ticket.
sen why "$key"
sen history --limit 20 "$key" || echo "no history is kept here"

# 3. What really happened? Only the provider knows.
charge=$($lookup "$key")

# 4. Record the outcome. Both acts take the key over first, so that a late worker cannot overwrite what is decided here.
if [ -n "$charge" ]; then
    echo "the provider has it: later callers get this result without charging again"
    sen reconcile "$key" --complete "$charge" --yes --reason "$reason"
else
    echo "the provider has no charge: the next caller may charge"
    sen reconcile "$key" --reset --yes --reason "$reason"
fi

# 5. Is it so?
sen inspect --check "$key"
