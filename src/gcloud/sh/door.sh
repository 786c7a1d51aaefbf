# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154
# A way to the Control UI: an SSH session that forwards a port, and on the VM lets a browser in there.

# Sets `$opener`, the command that opens a page: the person's own choice, or that of Windows under WSL,
# of macOS, of the desktop. Fails where there is none.
browser() {
    # A list of commands; `%s` in one is the address (xdg-open(1)).
    opener=${BROWSER:-} opener=${opener%%:*} opener=${opener%%%s*}
    # shellcheck disable=SC2086 # a command with its options
    [ -z "$opener" ] || { command -v ${opener%% *} >/dev/null && return; }
    for opener in wslview open xdg-open; do
        # Without a display xdg-open would start a text browser in this terminal.
        [ "$opener" != xdg-open ] || [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] || continue
        ! command -v "$opener" >/dev/null || return 0
    done
    return 1
}

# The one-time link in the output of `openclaw dashboard --json`, for `$port` of this machine. Empty unless it
# has the form of such a link: a container has written it, and a browser opens it.
link_in() {
    printf '%s\n' "$1" | sed -n 's/.*"browserUrl": *"http:\/\/127\.0\.0\.1:[0-9]*\/#\([A-Za-z0-9._~%=&-]*\)".*/\1/p' |
        sed "s/^/http:\/\/127.0.0.1:$port\/#/; s/gatewayUrl=ws%3A%2F%2F127\.0\.0\.1%3A[0-9]*/gatewayUrl=ws%3A%2F%2F127.0.0.1%3A$port/"
}

# Opens the link that the session prints to the pipe `$1`. It grants access to anyone, once. It is therefore
# passed to the browser in a page that only this user can read, not as an argument, which every user of this
# machine can read. The page is in the home folder, where browsers in a sandbox (snap) can read it too.
open_link() {
    said=''
    IFS= read -r said <"$1" || [ -n "$said" ] || return 0
    link=$(link_in "$said")
    if [ -z "$link" ]; then
        tell 'The gateway gave no one-time link. The page asks for the token instead:' \
            "  http://127.0.0.1:$port/" "  bake gcloud token${fleet:+ --member $vm} | sh"
        return
    fi
    if ! browser; then
        tell 'There is no browser here to open. This link lets a browser in, once, within ten minutes; keep it to yourself:'
        printf '%s\n' "$link"
        return
    fi
    page=$home/dashboard.html
    (
        umask 077
        printf '<!DOCTYPE html>\n<meta charset="utf-8">\n<meta name="referrer" content="no-referrer">\n<meta http-equiv="refresh" content="0; url=%s">\n' \
            "$(printf %s "$link" | sed 's/&/\&amp;/g')" >"$page"
    )
    tell 'Opening the Control UI in the browser. If nothing opens: its address, and the token that it then asks for:' \
        "  http://127.0.0.1:$port/" "  bake gcloud token${fleet:+ --member $vm} | sh"
    # shellcheck disable=SC2086 # a command with its options; it may last as long as the browser does
    $opener "$page" </dev/null >/dev/null 2>&1 &
}

# The gateway's port on this machine, until Ctrl-C. `$3` is `link` to open a browser.
open_door() (
    account=$1 port=$2 want=$3
    broken=$(port_taken)
    home=$(umask 077 && mktemp -d "${HOME:-/tmp}/bake-dashboard.XXXXXX")
    trap 'rm -rf "$home"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    mkfifo -m 600 "$home/hold" "$home/said"
    # Open for as long as this runs: the session on the VM ends when its standard input does.
    exec 9<>"$home/hold"
    tell "The Control UI, while this runs: http://127.0.0.1:$port/" 'Ctrl-C ends it.'
    [ "$want" = link ] || way_in
    if [ "$want" = link ]; then
        open_link "$home/said" 9<&- &
    else
        cat "$home/said" >/dev/null 9<&- &
    fi
    reader=$! code=0
    reach "$home/hold" >"$home/said" || code=$?
    wait "$reader" || true
    return "$code"
)

# The same on the gateway's own port, which needs nothing on the VM but SSH.
open_tunnel() {
    account=$1 port=$2
    broken=$(port_taken)
    tell "The Control UI, while this runs: http://127.0.0.1:$port/" 'Ctrl-C ends it.'
    way_in
    reach /dev/null
}

port_taken() {
    printf '%s\n' "The tunnel ended: the network was away, or another program has port $port of this machine. Once more, on another one:" \
        "  bake gcloud tunnel${fleet:+ --member $vm} --port OTHER | sh"
}

# The other requirements for access.
way_in() {
    tell 'It asks for the gateway token, which this prints in another terminal:' \
        "  bake gcloud token${fleet:+ --member $vm} | sh" \
        'Or let a browser in without it, by a link that is good once:' \
        "  bake gcloud dashboard${fleet:+ --member $vm} | sh" \
        'If the page says that its origin is not allowed, open exactly the address above. If it asks for pairing:' \
        "  bake gcloud cli${fleet:+ --member $vm} -- devices list | sh" \
        "  bake gcloud cli${fleet:+ --member $vm} -- devices approve ID | sh"
}
