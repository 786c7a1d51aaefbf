# shellcheck shell=sh
# Ends the script where the disk `$1` in zone `$2` was restored before and a newer one has come into use:
# an update would not take it. `newest_disk` and `restored_disk` are gcloud's commands.
must_be_newest() {
    restored=$(ask restored_disk)
    newest=$(ask newest_disk)
    if [ -n "$restored" ] && [ "$newest" != "$1" ]; then
        refuse "This snapshot was restored before, to the disk $1, and $newest has come into use since then." \
            "To restore it once more, delete what was made of it first: gcloud compute disks delete $1 --project=${project:?} --zone=$2"
    fi
}
