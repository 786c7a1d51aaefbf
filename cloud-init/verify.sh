#!/bin/bash
# verify.sh [running]: compares each binary with the lock, in the image or in the gateway's running container. In the
# image, its bytes come from a container that is never started. The host hashes them: no program of the image runs.
set -euo pipefail
# shellcheck source=/dev/null
. /opt/openclaw/settings.env

if [ "${1-}" = running ]; then
    container=$(docker ps -q --filter label=com.docker.compose.project=openclaw \
        --filter label=com.docker.compose.service=openclaw-gateway --filter label=com.docker.compose.oneoff=False)
    [ -n "$container" ] || { echo "the gateway does not run: nothing could be verified" >&2; exit 1; }
else
    # The running release may be verified at the same time as a staged one.
    container=openclaw-verify${STAGED:+-staged}
    docker rm -f -v "$container" >/dev/null 2>&1 || true
    docker create --name "$container" --network none "$OPENCLAW_IMAGE" never-run >/dev/null
    trap 'docker rm -f -v "$container" >/dev/null 2>&1' EXIT
fi

# Follows links, because the program behind this name counts.
hash_of() {
    docker cp -L "$container:$1" - 2>/dev/null | tar -xO 2>/dev/null | sha256sum | cut -d ' ' -f 1
}

wrong='' unknown='' good=0 all=0
while read -r locked path || [ -n "$locked" ]; do
    [ -n "$locked" ] || continue
    all=$((all + 1))
    if [ "$locked" = unknown ]; then
        unknown="$unknown${unknown:+, }${path##*/}"
        continue
    fi
    # Twice: a file is not missing because Docker is restarting.
    found=$(hash_of "$path") || found=$(hash_of "$path") || found=nothing
    if [ "$found" = "$locked" ]; then
        good=$((good + 1))
    else
        wrong="$wrong; ${path##*/}: locked as ${locked:0:16}, found ${found:0:16} at $path"
    fi
done </opt/openclaw/binaries.sha256
[ -z "$wrong" ] || timeout 30 docker info >/dev/null 2>&1 || { echo "Docker is away: nothing could be verified" >&2; exit 1; }
install -d -m 0700 /run/openclaw
# For report.sh, which may read it at any time.
echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) $good $all" >/run/openclaw/verified.new
mv /run/openclaw/verified.new /run/openclaw/verified
if [ -n "$wrong" ]; then
    echo binary-mismatch >/run/openclaw/error_kind
    echo "not what bake.lock says: ${wrong#; }" >&2
    exit 78
fi
[ -z "$unknown" ] || echo "not verified, because bake.lock has no checksum of it: $unknown" >&2
