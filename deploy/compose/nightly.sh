#!/bin/sh
# Relabels the archive every night at TESSERA_AT in the zone TZ, as a job on the cluster. A slot that
# passes while this does not run is not made up for: see README.md for systemd, which does.
set -eu
: "${TESSERA_AT:?HH:MM}" "${TZ:?name of a time zone}" "${RAY_API_SERVER_ADDRESS:?}"

next_slot() {
    now=$1
    day=$(date -d "@$now" +%F)
    slot=$(date -d "$day $TESSERA_AT" +%s)
    if [ "$slot" -le "$now" ]; then
        # From noon, or a day of 23 hours would lead to the same day again.
        day=$(date -d "$day 12:00 1 day" +%F)
        slot=$(date -d "$day $TESSERA_AT" +%s)
    fi
    echo "$slot"
}

while :; do
    now=$(date +%s)
    slot=$(next_slot "$now")
    echo "next slot: $(date -d "@$slot" '+%F %H:%M %Z')"
    # In short sleeps: a machine that was asleep meanwhile wakes up to the right time.
    while [ "$(date +%s)" -lt "$slot" ]; do
        left=$((slot - $(date +%s)))
        sleep "$((left < 1800 ? left : 1800))"
    done
    night=$(date -d "@$slot" +%F)
    # The same night twice is one job, and does nothing by its run id.
    tessera submit --follow --run-id "$night" -- \
        relabel --archive /archive --settings /archive/nights.toml --run-id "$night" \
        || echo "night $night: tessera submit ended with $?" >&2
done
