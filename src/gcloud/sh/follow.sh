# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154
# Follows a VM through a change of its release.

# Waits until the VM has done what `$request` says; ends the script where it has not.
follow_change() {
    begin=$(date +%s)
    watch_vm && return
    code=$?
    [ -z "${rest:-}" ] || tell "The others were not changed:$rest"
    # To run this again would change nothing.
    if [ "$code" = "$undone" ]; then
        trap - EXIT
        exit 1
    fi
    exit "$code"
}
