#!/bin/bash
# Builds or pulls the image of docker-compose.yml, unless it exists.
set -euo pipefail
# shellcheck source=/dev/null
. /opt/openclaw/settings.env

log=/run/openclaw/image.log
# On the boot disk, as the images are: the boot that began to make an unfinished image. Before an update,
# update.py runs this script with the release's folder in STAGED.
making=${STAGED:-/var/lib/openclaw-boot}/making
boot=$(cat /proc/sys/kernel/random/boot_id)

exists() {
    docker image inspect "$1" >/dev/null 2>&1
}

# Docker does not flush the layers that it writes: a loss of power can leave an image or a cached layer
# with parts missing.
drop_torn() {
    echo "the machine stopped while an image was made: making it again"
    if [ -z "$(docker ps -aq)" ] && [ -z "$(docker volume ls -q)" ]; then
        # Docker only has layers here, and has no other way to drop those without an image.
        root=$(docker info -f '{{.DockerRootDir}}')
        # Docker 29 keeps them in containerd's store.
        store=''
        case $(docker info -f '{{.DriverStatus}}') in *io.containerd.snapshotter*) store=/var/lib/containerd ;; esac
        systemctl stop docker.socket docker.service ${store:+containerd.service}
        find "${root:?}" $store -mindepth 1 -maxdepth 1 -exec rm -rf {} +
        systemctl start ${store:+containerd.service} docker.service
    fi
    docker image rm -f "$OPENCLAW_IMAGE" ${OPENCLAW_SOURCE_IMAGE:+"$OPENCLAW_SOURCE_IMAGE"} >/dev/null 2>&1 || true
    docker builder prune -af >/dev/null 2>&1 || true
}

# The failing step and the last line of its output, or else the builder's own error. A report has 400
# characters, so steps and digests are shortened.
decisive_line() {
    awk '/^ > /    { step = substr($0, 4, 160); said = ""; inside = 1; next }
         /^-----/  { inside = 0 }
         inside && NF { said = $0; sub(/^[0-9.]+ /, "", said) }
         /^(ERROR|Error|error|failed)/ { last = $0; sub(/^ERROR: (failed to build: )?failed to solve: /, "", last) }
         NF        { any = $0 }
         END       { print (step ? substr(step, 1, said ? 48 : 160) " " : "") (said ? said : last ? last : any) }' "$log"
}

shorten() {
    sed -E 's/@sha256:[0-9a-f]{64}//g; s/([0-9a-f]{12})[0-9a-f]{52}/\1/g' | cut -c 1-380
}

# BuildKit hashes the page of an HTTP error too, and reports a digest mismatch (moby/buildkit#6380).
# So download the file once more: only a file that is there and differs needs help.
explain_mismatch() {
    local tool locked url found
    kind=checksum-mismatch
    # " > [amd64-TOOL 1/2] ADD --checksum=sha256:DIGEST … URL FILE:", with `\$` for a `$` in the URL
    read -r tool locked url < <(sed -nE 's/^ > \[([^] ]+ )?[a-z0-9]+-([^] ]+) [0-9/]+\] ADD .*--checksum=sha256:([0-9a-f]{64}) (.* )?(https?:[^ ]+) [^ ]+:$/\2 \3 \5/p' "$log" | tail -n 1 | sed 's/\\\(.\)/\1/g') || true
    code=78
    [ -n "$url" ] || return 0
    if ! found=$(curl -fsSL --globoff --connect-timeout 30 --speed-time 60 "$url" 2>"$log.curl" | sha256sum); then
        code=1 kind=download-failed
        why="$tool: $url cannot be downloaded: $(tail -n 1 "$log.curl")"
    elif [ "${found%% *}" = "$locked" ]; then
        code=1 kind=download-failed
        why="$tool: $url had other content for a moment"
    else
        why="$tool: $url has SHA-256 ${found%% *}, and $locked is locked"
    fi
}

fail() { # WHAT KIND
    local why code=1 kind=$2
    why=$(decisive_line)
    if grep -q 'digest mismatch sha256:' "$log"; then
        explain_mismatch
    elif grep -Eqi 'did NOT match|checksum mismatch|: FAILED$' "$log"; then
        code=78 kind=checksum-mismatch
    elif grep -q 'exit code: 137' "$log"; then
        kind=out-of-memory
        why="out of memory (building OpenClaw from source takes 6 GB): $why"
    fi
    echo "$kind" >/run/openclaw/error_kind
    echo "$1: $(shorten <<<"$why")" >&2
    exit "$code"
}

build() {
    BUILDKIT_PROGRESS=plain docker build -t "$1" "$2" 2>&1 | tee "$log" || fail "build of $1" image-failed
}

# Google's registries accept the VM's token. It stays in pipes and in memory.
log_in() {
    local host=${OPENCLAW_IMAGE%%/*}
    case $host in
    *.pkg.dev | gcr.io | *.gcr.io) ;;
    *) return 0 ;;
    esac
    export DOCKER_CONFIG=/run/openclaw/docker
    trap 'rm -rf "$DOCKER_CONFIG"' EXIT
    install -d -m 0700 "$DOCKER_CONFIG"
    curl -fsS --noproxy '*' -m 15 -H 'Metadata-Flavor: Google' \
        "${OPENCLAW_METADATA_URL:-http://metadata.google.internal}/computeMetadata/v1/instance/service-accounts/default/token" |
        sed -n 's/.*"access_token" *: *"\([^"]*\)".*/\1/p' |
        docker login -u oauth2accesstoken --password-stdin "https://$host" 2>&1 ||
        echo "no login at $host: pulling without"
}

mkdir -p "${making%/*}"
if [ -e "$making" ] && [ "$(cat "$making")" != "$boot" ]; then
    drop_torn
    rm -f "$making"
fi
if exists "$OPENCLAW_IMAGE" && [ ! -e "$making" ]; then
    exit 0
fi
echo "$boot" >"$making"
sync "$making" "${making%/*}"
if ! exists "$OPENCLAW_IMAGE"; then
    # The steps of a build run in containers.
    echo guard-failed >/run/openclaw/error_kind
    /usr/local/lib/openclaw/metadata-guard.sh
    rm /run/openclaw/error_kind
    case $OPENCLAW_STRATEGY in
    registry)
        log_in
        docker pull -q "$OPENCLAW_IMAGE" 2>&1 | tee "$log" || fail "pull of $OPENCLAW_IMAGE" pull-failed
        ;;
    source)
        exists "$OPENCLAW_SOURCE_IMAGE" || build "$OPENCLAW_SOURCE_IMAGE" "$OPENCLAW_SOURCE_REPO#$OPENCLAW_SOURCE_COMMIT"
        build "$OPENCLAW_IMAGE" /opt/openclaw
        ;;
    *) build "$OPENCLAW_IMAGE" /opt/openclaw ;;
    esac
fi
sync
rm -f "$making"
sync "${making%/*}"
