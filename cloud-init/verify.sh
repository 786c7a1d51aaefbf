#!/bin/bash
# Compares each binary in the image with the lock. Its bytes come from a container that is never
# started, and the host hashes them: no program of the image runs.
set -euo pipefail
# shellcheck source=/dev/null
. /opt/openclaw/settings.env

# The running release may be verified at the same time as a staged one.
container=openclaw-verify${STAGED:+-staged}
docker rm -f -v "$container" >/dev/null 2>&1 || true
docker create --name "$container" --network none "$OPENCLAW_IMAGE" never-run >/dev/null
trap 'docker rm -f -v "$container" >/dev/null 2>&1' EXIT

# Follows links, because the program behind this name counts.
hash_of() {
    docker cp -L "$container:$1" - 2>/dev/null | tar -xO 2>/dev/null | sha256sum | cut -d ' ' -f 1
}

wrong=
while read -r locked path || [ -n "$locked" ]; do
    [ -n "$locked" ] || continue
    # Twice: a file is not missing because Docker is restarting.
    found=$(hash_of "$path") || found=$(hash_of "$path") || found=nothing
    [ "$found" = "$locked" ] || wrong="$wrong; ${path##*/}: locked as ${locked:0:16}, found ${found:0:16} at $path"
done </opt/openclaw/binaries.sha256
if [ -n "$wrong" ]; then
    timeout 30 docker info >/dev/null 2>&1 || { echo "Docker is away: nothing could be verified" >&2; exit 1; }
    echo binary-mismatch >/run/openclaw/error_kind
    echo "not what bake.lock says: ${wrong#; }" >&2
    exit 78
fi
