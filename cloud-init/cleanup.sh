#!/bin/bash
# Removes old images, except the one in use and the one before it. Called when the gateway is ready,
# so the image in use works.
set -euo pipefail
# shellcheck source=/dev/null
. /opt/openclaw/settings.env

# The images that ran here, the newest first: a name, and the name of its source image.
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
