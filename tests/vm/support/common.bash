# For the tests of the scripts in cloud-init/. Each runs them as they are, under the paths that they
# have on a VM, in a mount namespace of its own whose folders are overlays in memory.
# shellcheck shell=bash
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
export lib=/usr/local/lib/openclaw

skip() {
    echo "skipped: $*"
    exit 77
}

need() {
    local tool
    for tool; do
        command -v "$tool" >/dev/null || skip "no $tool"
    done
}

ok() {
    echo "ok - $*"
}

# Ends the test with what was seen: the last output of `run`, and any words of the caller's.
fail() {
    echo "not ok - $1"
    shift
    printf '    %s\n' "$@"
    if [ -n "${out-}${err-}" ]; then
        printf '    exit code %s\n    stdout: %s\n    stderr: %s\n' "${code-}" "$out" "$err"
    fi
    exit 1
} >&2

# Runs a command; leaves `code`, `out`, `err` and `kind`, the kind of its error, one of the contract.
run() {
    code=0
    rm -f /run/openclaw/error_kind
    out=$("$@" 2>"$work/stderr") || code=$?
    err=$(cat "$work/stderr")
    kind=$(cat /run/openclaw/error_kind 2>/dev/null || true)
    [ -z "$kind" ] || grep -Fq "### \`$kind\`" "$repo/docs/vm-contract.md" || fail "an unknown kind of error: $kind"
}

is() { # WHAT FOUND EXPECTED
    [ "$2" = "$3" ] || fail "$1" "expected: $3" "found:    $2"
    ok "$1"
}

has() { # WHAT TEXT PART
    case $2 in
    *"$3"*) ok "$1" ;;
    *) fail "$1" "expected in it: $3" "found: $2" ;;
    esac
}

has_not() { # WHAT TEXT PART
    case $2 in
    *"$3"*) fail "$1" "not expected in it: $3" "found: $2" ;;
    *) ok "$1" ;;
    esac
}

settings() { # NAME=VALUE... : over the defaults
    {
        printf '%s\n' "OPENCLAW_PACKAGES='docker.io docker-compose'" OPENCLAW_ALLOW= OPENCLAW_EGRESS=all OPENCLAW_NAMES= OPENCLAW_STRATEGY=build-on-vm OPENCLAW_IMAGE=openclaw:test \
            OPENCLAW_SOURCE_REPO= OPENCLAW_SOURCE_COMMIT= OPENCLAW_SOURCE_IMAGE= OPENCLAW_PORT=18789 OPENCLAW_SWAP_MIB=0 \
            OPENCLAW_DATA_DISK= OPENCLAW_AUTH_CHOICE=skip OPENCLAW_MODEL= OPENCLAW_CHANNELS= OPENCLAW_SECRETS= OPENCLAW_PROJECT=demo OPENCLAW_ASK_AFTER_UPDATE= OPENCLAW_STOP_SECONDS=330
        [ $# -eq 0 ] || printf '%q\n' "$@"
    } >/opt/openclaw/settings.env
}

# Puts a program before those of the machine; its text comes on standard input.
stub() {
    cat >"$work/bin/$1"
    chmod +x "$work/bin/$1"
}

overlay() {
    mkdir -p "$work/over$1/upper" "$work/over$1/work" "$1"
    mount -t overlay overlay -o "lowerdir=$1,upperdir=$work/over$1/upper,workdir=$work/over$1/work" "$1"
}

[ "$(id -u)" -eq 0 ] || skip "not root"
if [ -z "${IN_PRIVATE_ROOT-}" ]; then
    need unshare mount
    # A test that wants a network of its own as well says so before it sources this.
    unshare -m ${private_network:+-n} true 2>/dev/null || skip "no namespaces"
    IN_PRIVATE_ROOT=1 exec unshare -m --propagation private ${private_network:+-n} "$0" "$@"
fi
work=$(mktemp -d)
mount -t tmpfs tmpfs "$work"
mkdir "$work/bin"
mount -t tmpfs tmpfs /run
for folder in /opt /usr/local /var/lib /etc; do
    overlay "$folder"
done
export PATH="$work/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
mkdir -p /opt/openclaw "$lib"
install -d -m 0700 /run/openclaw
install -m 0755 "$repo"/cloud-init/*.sh "$repo"/cloud-init/*.py "$repo/cloud-init/allow-origin" "$lib/"
echo '{"telegram": {"plugin": null, "secrets": ["TELEGRAM_BOT_TOKEN"], "link": null}}' >"$lib/channels.json"
echo "0123abcd  bake.lock" >/opt/openclaw/lock.sha256
settings

at_end=()
on_exit() {
    local status=$? action
    for action in ${at_end[@]+"${at_end[@]}"}; do
        eval "$action" || true
    done
    # A test may have its own, and within what goes now.
    PATH=/usr/sbin:/usr/bin:/sbin:/bin
    umount -l "$work" 2>/dev/null || true
    rmdir "$work" 2>/dev/null || true
    exit "$status"
}
trap on_exit EXIT
