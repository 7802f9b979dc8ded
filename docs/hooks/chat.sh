#!/bin/sh
# Tells a chat what was done with sen: a hook that posts to an incoming webhook (Slack, Mattermost, Rocket.Chat, Google Chat).
#
#   export SEN_CHAT_WEBHOOK=https://hooks.example.com/services/…
#   export SEN_HOOK=/etc/sen/chat.sh
#
# Needs jq and curl.
set -eu
: "${SEN_CHAT_WEBHOOK:?the address of the webhook}"

jq -c '. as $report
    | ["applied", "already_done", "changed", "missing", "skipped", "failed", "unknown"]
    | map(select($report[.] > 0) | "\($report[.]) \(gsub("_"; " "))")
    | {text: (
        "\($report.who) on \($report.database): \($report.summary)"
        + (if $report.reason then " (\($report.reason))" else "" end)
        + "\n" + join(", ") + "; operation \($report.operation)"
    )}' |
    curl --silent --show-error --fail --max-time 8 --header 'Content-Type: application/json' --data-binary @- "$SEN_CHAT_WEBHOOK"
