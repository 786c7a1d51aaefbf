# shellcheck shell=sh
# Continues only if the name `$1` is typed on the terminal; standard input may be the script itself. `$2`
# describes the consequences.
confirmed() {
    if ! (: </dev/tty) 2>/dev/null; then
        echo 'There is no terminal to ask on.' >&2
        exit 1
    fi
    printf '%s Type %s to continue:  ' "$2" "$1" >/dev/tty
    IFS= read -r typed </dev/tty || true
    [ "$typed" = "$1" ] || { echo "That is not $1." >&2; exit 1; }
}
