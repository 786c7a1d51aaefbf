# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154
# Updates in place: metadata that a running VM changes its release by.

# VMs that do not run the release of this bundle, those of them on which it failed before, and those that run it.
changing=' ' failing=' ' running=' ' now=''

# Looks at the VM before any change. `$bundle` and `$release` are this bundle's; `$retry` is `yes` to try a release
# again that failed.
look_for_update() {
    read_releases "$release"
    # Without a VM there is nothing to update: it is created.
    [ -n "$state" ] || return 0
    if [ "$current" = "$release" ]; then
        running="$running$vm "
        return
    fi
    # A VM of this bundle that does not report yet is on its way to it.
    [ "$contract" = 1 ] || [ "$bundle_there" != "$bundle" ] || return 0
    require_contract
    changing="$changing$vm "
    # The secrets of the new release must be there.
    now="$now$vm "
    if is_busy && [ "$update_request" = "$request" ]; then
        return
    fi
    [ -n "$failure" ] || return 0
    [ "$retry" = yes ] || refuse "The release $release failed on $vm before, and is not tried again by itself: $failure" \
        'Once the cause is removed:' "  bake gcloud update --retry$fleet | sh" \
        'To stay on the release that it runs, write its bake.yaml and bake.lock back, then:' \
        '  bake render' "  bake gcloud update$fleet | sh"
    failing="$failing$vm "
}

# Sets the names of the steps about the VM.
choose_vm() {
    failed_vm='' effect="changes to the release $release in place"
    case $failing in
    *" $vm "*) failed_vm=$vm effect="tries the release $release again, in place" ;;
    esac
    case $running in
    *" $vm "*) effect="gets the metadata of the release $release, which it runs" ;;
    esac
}

# Waits until the VM runs the release, or has gone back. `$1` is the end of a request for a release that failed.
follow_update() {
    case $changing in
    *" $vm "*) ;;
    *) return 0 ;;
    esac
    case $failing in
    *" $vm "*) request=$request$1 ;;
    esac
    follow_change
}
