#!/bin/sh
# Runbook: uncertain keys by namespace and by the host whose worker had them: one dead host, or one broken kind of work?
#
#   uncertain-groups.sh
#
# Needs DATABASE_URL and jq. Prints the largest group first: count, namespace, host, oldest expiry, keys.
set -eu
leases=$(sen list --state uncertain --limit 0 -o json)
printf '%s' "$leases" | jq -r 'group_by(.namespace, (.owner_id // "" | split(":")[0])) | sort_by(-length)[]
    | [length, .[0].namespace // "-", (.[0].owner_id // "-" | split(":")[0]), (map(.lease_expires_at) | min), (map(.key) | join(" "))]
    | @tsv'
