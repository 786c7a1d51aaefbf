# shellcheck shell=sh
# Ends where the disk in use is not the restored one, which is then older: an update would not take it.
# Takes both, and their zone.
newest() {
    [ "$1" = "$2" ] && return
    echo "This snapshot was restored before, to the disk $2, and $1 has come into use since then." >&2
    echo "To restore it once more, delete what was made of it first: gcloud compute disks delete $2 --project=${project:?} --zone=$3" >&2
    exit 1
}
