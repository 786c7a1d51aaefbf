#!/bin/bash
# Keeps the disk from filling up: called once the gateway is ready, so that the image in use is a
# good one. Keeps that and the one before it, which is the way back.
set -euo pipefail
# shellcheck source=/dev/null
. /opt/openclaw/settings.env

# A line for each image that ran here, the newest first: its name, and that of its source image.
record=/var/lib/openclaw-boot/images
now="$OPENCLAW_IMAGE $OPENCLAW_SOURCE_IMAGE"

touch "$record"
[ "$(head -n 1 "$record")" != "$now" ] || exit 0
{ echo "$now"; grep -Fvx "$now" "$record" || true; } >"$record.all"
head -n 2 "$record.all" >"$record.new"
tail -n +3 "$record.all" | tr ' ' '\n' | while read -r image; do
    [ -z "$image" ] || grep -Fqw -- "$image" "$record.new" || docker image rm "$image" || true
done
docker image prune -f
docker builder prune -af
mv "$record.new" "$record"
rm -f "$record.all"
