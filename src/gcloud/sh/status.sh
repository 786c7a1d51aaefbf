# shellcheck shell=sh
# shellcheck disable=SC2154
# Prints the current state, and advice for problems.

show() {
    printf '  %-8s %s\n' "$1" "$2"
}

# Succeeds if the VM was created from the current bake.yaml and bake.lock.
show_bundle() {
    show machine "$machine"
    [ -n "$bundle" ] && [ -n "$bundle_there" ] || return 0
    if [ "$machine" != "$wanted_machine" ]; then
        tell "bake.yaml says $wanted_machine. To keep $machine, write it there; to change the VM:" \
            "  bake gcloud update$fleet | sh"
        return 1
    fi
    if [ "$bundle" != "$bundle_there" ]; then
        tell 'bake.yaml or bake.lock has changed since the VM was made. The changes of an update, and the update:' \
            "  bake render" "  bake gcloud plan$fleet | sh" "  bake gcloud update$fleet | sh"
        return 1
    fi
}

# The data disk in use, older ones that a restore has left, and the newest snapshot.
show_disks() {
    quietly disks vm_disks || give_up
    others=''
    while IFS=' ' read -r name size; do
        [ -n "$name" ] || continue
        if [ -z "$others" ]; then
            show disk "$name, $size GB"
            [ "$size" = "$wanted_size" ] || tell "bake.yaml says ${wanted_size}GB for the data disk: bake gcloud plan$fleet | sh"
        else
            show 'old disk' "$name, $size GB, which a restore has left; you keep paying for it"
        fi
        others=yes
    done <"$scratch/disks"
    quietly snapshots vm_snapshots || give_up
    IFS=' ' read -r name taken <"$scratch/snapshots" || name=''
    show snapshot "${name:-none yet}${name:+, of $taken}"
}

# Succeeds where the VM runs the lock of this project.
show_lock() {
    if [ -z "$lock" ]; then
        show lock "${lock_there:-$label}; there is no bake.lock here to compare it with"
        return 0
    fi
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
    show_bundle || well=1
    [ "$wanted_size" = 0 ] || show_disks
    show costs "$costs"
    return "$well"
)

show_gateway() {
    show_vm || failed "$?"
}

# An exit code for all VMs.
conclude() {
    return "$worst"
}
