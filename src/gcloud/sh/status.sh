# shellcheck shell=sh
# shellcheck disable=SC2154
# One look, and what to do about whatever is not well.

show() {
    printf '  %-8s %s\n' "$1" "$2"
}

# Succeeds where the VM runs the lock of this project.
show_lock() {
    # Before the first report its label tells, which holds the first digits only.
    there=${lock_there:-$label}
    case $lock in
    "$there"*)
        if [ -n "$there" ]; then
            show lock "$there, that of bake.lock"
            return
        fi
        show lock 'the VM has not said which'
        ;;
    *)
        show lock "$there; bake.lock is $lock"
        tell "The VM was made for another bake.lock than this one. To bring it there${fleet:+, with its whole fleet}:" \
            '  bake render' "  bake gcloud update$fleet | sh"
        ;;
    esac
    return 1
}

show_vm() (
    scratch
    look || give_up
    echo "$vm in $zone of $project"
    show vm "${state:-is not there}${started:+, started $started}"
    may_run || return
    listen || give_up
    show gateway "${status:-no report since the VM was started}${since:+, since $since}${error:+: $error}"
    may_report || return
    well=0
    if [ "$state" != RUNNING ] || [ "$status" != ready ]; then
        well=1
        quietly serial vm_serial || :
        remedy "$scratch/serial"
        tell 'Not ready. To see it through, and what it says:' \
            "  bake gcloud wait$fleet | sh" "  bake gcloud logs${fleet:+ --member $vm} | sh"
    fi
    show_lock || well=1
    return "$well"
)

show_gateway() {
    show_vm || failed "$?"
}

# An exit code for all VMs.
conclude() {
    return "$worst"
}
