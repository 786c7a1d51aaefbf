# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154
# The way back to the release before.

# Looks at the VM before any change. Sets `$rollback_vm`, the VM if it has to go back, `$effect`, and `$request`.
# `$to` is the release to go back to, if one was named; `$keeps_state` is `yes` to keep today's state. `$1` makes
# the request one that the VM has not seen.
look_for_rollback() {
    again=$1 rollback_vm='' awaited='' already=''
    read_releases ''
    [ -n "$state" ] || refuse "There is no VM $vm in zone $zone of project $project."
    require_contract
    request=rollback=$current$again$and_keep
    if is_busy; then
        [ "$update_request" = "$request" ] || refuse "$vm changes its release right now: it is at \`$update\`. To wait for that:" \
            "  bake gcloud wait$fleet | sh"
        awaited=yes
        return
    fi
    if [ -n "$to" ] && [ "$to" = "$current" ]; then
        already="VM $vm: runs the release $current (OpenClaw $version)"
        return
    fi
    [ -n "$before" ] || refuse "$vm has no release to go back to. Its releases:" "  bake gcloud releases$member | sh"
    if [ -n "$to" ]; then
        [ "$to" = "$before" ] || refuse "$vm can go back to the release $before only. Its releases:" \
            "  bake gcloud releases$member | sh"
    elif [ "$failure" = 'rolled back by hand' ]; then
        already="VM $vm: runs the release $current (OpenClaw $version), to which it was rolled back; to return to $before: bake gcloud rollback$member --to $before | sh"
        return
    fi
    # The last request failed.
    case $update in
    refused | rolled-back)
        [ "$update_request" != "$request" ] ||
            refuse "$vm did not go back to the release $before: $update_error" 'To try again:' \
                "  bake gcloud rollback --retry$member | sh"
        ;;
    esac
    rollback_vm=$vm awaited=yes
    effect="goes back from the release $current (OpenClaw $version) to $before (OpenClaw $version_before), with"
    if [ "$keeps_state" = yes ]; then
        effect="$effect today's state"
    else
        effect="$effect the state of $since; LOST is what came since then, unless a second rollback brings it back"
    fi
}

# Names what stays.
tell_already() {
    [ -z "$already" ] || keeps "$already"
}

# Waits until the VM runs the release before.
follow_rollback() {
    [ -n "$awaited" ] || return 0
    follow_change
    tell "$vm went back. bake.yaml and bake.lock still describe the release that it left, and a new VM would run" \
        'that. To keep the release before: write its bake.yaml and bake.lock back, then:' \
        '  bake render' "  bake gcloud update$fleet | sh"
}
