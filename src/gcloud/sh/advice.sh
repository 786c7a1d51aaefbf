# shellcheck shell=sh
# shellcheck disable=SC2154
# What to do about `$error`. The serial console's log `$1` shows whether memory ran out.
remedy() {
    [ -n "$kind" ] || kind=$(kind_of_text)
    if may_be_memory "$kind" && ran_out_of_memory "$1"; then
        kind=out-of-memory
    fi
    advise "$kind"
}

ran_out_of_memory() {
    grep -q -e 'Out of memory: Kill' -e 'oom-kill:' "$1" 2>/dev/null
}
