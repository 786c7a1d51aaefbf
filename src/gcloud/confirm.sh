# shellcheck shell=sh
# Goes on only where this name is typed: on the terminal, since standard input may be the script itself.
confirmed() {
    if ! (: </dev/tty) 2>/dev/null; then
        echo 'There is no terminal to ask on.' >&2
        exit 1
    fi
    printf 'All of this will be deleted, and cannot be brought back. Type %s to go on: ' "$1" >/dev/tty
    IFS= read -r typed </dev/tty || true
    [ "$typed" = "$1" ] || { echo "That is not $1." >&2; exit 1; }
}
