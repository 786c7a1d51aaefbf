# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154
# Finds the old VM of a move, and how far an earlier run has come. The commands are gcloud's.
find_origin() {
    era=$(ask old_start)
    vm_here=$(ask new_vm)
    old_data='' snapshot='' new_snapshot='' new_data=''
    if [ -z "$era" ]; then
        [ -n "$vm_here" ] || refuse "There is no VM $from, so there is nothing to move." \
            'To find it: gcloud compute instances list. Name its place with --from-zone, --from-name and --from-project.'
        data=$(ask disk_in_use)
        return
    fi
    old_data=$(ask old_disk)
    [ -n "$old_data" ] || refuse "$from has no data disk, so its state is on the boot disk: docs/gcloud.md, \"A VM without a data disk\"."
    # Month, day and time of the last start as eight digits. A zero at the beginning would mean octal.
    era=$(printf %08x "${era#0}")
    snapshot=$snapshot_base-$era
    data=$disk_base-$era
    disk_here=$(ask made_disk)
    if [ -n "$vm_here" ]; then
        [ -n "$disk_here" ] || refuse "There is a VM $to already, and its state is not that of $from. To delete it: bake gcloud destroy | sh"
        return
    fi
    [ -n "$disk_here" ] || new_data=$data
    taken=$(ask taken_snapshot)
    [ -n "$taken$disk_here" ] || new_snapshot=$snapshot
}
