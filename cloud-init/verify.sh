#!/bin/bash
# Every locked binary, hashed as it lies in the image. The bytes come out of a container that is
# never started and are hashed by the host: no program of the image has a say in it.
set -euo pipefail
# shellcheck source=/dev/null
. /opt/openclaw/settings.env

container=openclaw-verify
docker rm -f -v "$container" >/dev/null 2>&1 || true
docker create --name "$container" --network none "$OPENCLAW_IMAGE" never-run >/dev/null
trap 'docker rm -f -v "$container" >/dev/null 2>&1' EXIT

# Through links, as a caller goes: what counts is what runs under this name.
hash_of() {
    docker cp -L "$container:$1" - 2>/dev/null | tar -xO 2>/dev/null | sha256sum | cut -d ' ' -f 1
}

wrong=
while read -r locked path || [ -n "$locked" ]; do
    [ -n "$locked" ] || continue
    # Asked again, for what Docker does not tell in the middle of its own restart is not missing.
    found=$(hash_of "$path") || found=$(hash_of "$path") || found=nothing
    [ "$found" = "$locked" ] || wrong="$wrong; ${path##*/}: locked as ${locked:0:16}, found ${found:0:16} at $path"
done </opt/openclaw/binaries.sha256
if [ -n "$wrong" ]; then
    timeout 30 docker info >/dev/null 2>&1 || { echo "Docker is away: nothing could be verified" >&2; exit 1; }
    echo "not what bake.lock says: ${wrong#; }" >&2
    exit 78
fi
