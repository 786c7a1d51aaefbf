# shellcheck shell=sh
# Ends the script where this project has a VM or, while there is none here, a data disk in another zone or
# by another name. `vms_elsewhere`, `disks_elsewhere` and `disks_here` are gcloud's commands.
must_not_be_elsewhere() {
    elsewhere=$(ask vms_elsewhere)
    if [ -z "$elsewhere" ]; then
        here=$(ask disks_here)
        [ -n "$here" ] || elsewhere=$(ask disks_elsewhere)
    fi
    [ -n "$elsewhere" ] || return 0
    first=$(printf '%s\n' "$elsewhere" | head -n 1)
    refuse "The state of this gateway is in another zone, or by another name, than bake.yaml says:" \
        "  $(printf %s "$elsewhere" | tr '\n' ',' | sed 's/,/, /g')" \
        'A second gateway would begin with an empty disk. Write that zone and name back into bake.yaml, or move the VM:' \
        "  bake gcloud move --from-zone=${first##* in } --from-name=${first%% in *} | sh" \
        'A data disk without a VM: first bake gcloud create | sh with the old bake.yaml.'
}
