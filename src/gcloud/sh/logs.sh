# shellcheck shell=sh
# shellcheck disable=SC2154
# The serial console from where the last call left off. Compute Engine keeps its last mebibyte.

# The byte up to which the log of this very start of the VM was seen.
read_offset() {
    start=0 run_then=''
    [ "$all" = no ] && [ -f "$seen" ] || return 0
    { IFS= read -r run_then && IFS= read -r start; } <"$seen" || run_then=''
    # A restarted VM counts from zero.
    [ "$run_then" = "$run_of_vm" ] || start=0
    case $start in
    '' | *[!0-9]*) start=0 ;;
    esac
}

print_log() {
    scratch
    look || give_up
    [ -n "$state" ] || may_run || return
    run_of_vm="$id $started"
    folder=${XDG_STATE_HOME:-${HOME:?}/.local/state}/bake/serial/$project/$zone
    seen=$folder/$vm
    (umask 077 && mkdir -p "$folder")
    read_offset
    while :; do
        quietly serial vm_serial || give_up
        from='' next=''
        { IFS= read -r from && IFS= read -r next; } <"$scratch/serial" || true
        case $from$next in
        '' | *[!0-9]*)
            tell 'gcloud gives no serial output that can be read.'
            return 1
            ;;
        esac
        # A shorter log: the VM was restarted.
        if [ "$next" -lt "$start" ]; then
            start=0
            continue
        fi
        [ "$from" -le "$start" ] ||
            tell "[$((from - start)) bytes are gone: only the last mebibyte is kept]"
        # gcloud adds a line feed to its output.
        tail -n +3 "$scratch/serial" |
            LC_ALL=C awk 'NR > 1 { print last } { last = $0 } END { printf "%s", last }' >>"$scratch/log"
        [ "$next" -gt "$start" ] || break
        start=$next
    done
    # As a whole, because a control sequence may span two answers.
    plain <"$scratch/log"
    printf '%s\n' "$run_of_vm" "$start" >"$seen.new"
    mv "$seen.new" "$seen"
}
