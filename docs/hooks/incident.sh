#!/bin/sh
# Opens an incident where an act with sen did not end well: failed, or with an outcome that is not known. The message has the form of
# PagerDuty's events (v2), which Grafana OnCall, Opsgenie's bridge and others take as well.
#
#   export SEN_INCIDENT_URL=https://events.pagerduty.com/v2/enqueue
#   export SEN_INCIDENT_KEY=…        # the routing key of the service
#   export SEN_HOOK=/etc/sen/incident.sh
#
# Needs jq and curl. Exit codes are those of `sen help exit-codes`: 9 is "outcome unknown", 1 and 3 are errors and partial ends.
set -eu
: "${SEN_INCIDENT_URL:?where events are sent}" "${SEN_INCIDENT_KEY:?the routing key}"
export SEN_INCIDENT_KEY

event=$(jq -c 'select(.failed > 0 or .unknown > 0) | {
    routing_key: env.SEN_INCIDENT_KEY,
    event_action: "trigger",
    dedup_key: "sen-\(.operation)",
    payload: {
        summary: ((if .unknown > 0 then "outcome unknown: " else "failed: " end) + .summary),
        source: .database,
        severity: (if .unknown > 0 then "critical" else "error" end),
        custom_details: {who, reason, operation, exit_code, applied, failed, unknown, results: .results[:20]}
    }
}')
[ -n "$event" ] || exit 0
printf '%s' "$event" |
    curl --silent --show-error --fail --max-time 8 --header 'Content-Type: application/json' --data-binary @- "$SEN_INCIDENT_URL"
