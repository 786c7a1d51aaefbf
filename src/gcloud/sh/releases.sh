# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154
# The releases on VMs. `vm_state`, `vm_report` and `vm_releases` are gcloud's commands.

# Sets, for the VM `$vm`, what `look` and `listen` set, and `$releases`, a line for each release.
observe_releases() {
    look || give_up
    releases=''
    [ -n "$state" ] || return 0
    listen || give_up
    [ "$contract" = 1 ] || return 0
    quietly releases vm_releases || give_up
    releases=$(plain <"$scratch/releases" | sed '/^$/d')
}

# The fields of `observe_releases` as one line, with why the release `$1` failed, or else the one before. In a
# subshell, because of its files.
observed_releases() (
    scratch
    observe_releases
    [ -n "$state" ] || return 0
    printf '%s|' "$state" "$reports" "$bundle_there" "$contract" "$status" "$update" "$update_request" \
        "$(field current 1)" "$(field current 2)" "$(field current 4)" "$(field kept 1)" "$(field kept 2)"
    printf '%s|' "$(printf %s "$update_error" | tr '|' ' ')"
    printf '%s\n' "$(failure_of "${1:-$(field kept 1)}")"
)

# The field `$2` of the release that is `$1`.
field() {
    printf '%s\n' "$releases" | LC_ALL=C awk -v kind="$1" -v place="$2" '$5 == kind { print $place; exit }'
}

# Why the release `$1` failed, if it did.
failure_of() {
    printf '%s\n' "$releases" | sed -n "s/^$1 [^ ]* [^ ]* [^ ]* failed: //p" | head -n 1
}

# Sets the same fields.
read_releases() {
    observed=$(observed_releases "$1")
    IFS='|' read -r state reports bundle_there contract status update update_request \
        current version since before version_before update_error failure <<END
$observed
END
}

is_busy() {
    case $update in
    staging | image | verify | stopping | saving | trial | back) return 0 ;;
    esac
    return 1
}

# Ends the script, before any change, unless the VM takes requests.
require_contract() {
    may_run || {
        refused=yes
        exit 1
    }
    [ "$contract" != 1 ] || return 0
    may_report || {
        refused=yes
        exit 1
    }
    by_replacement="  bake gcloud update --replace$fleet | sh"
    case $status in
    ready | failed)
        refuse "$vm is of a bake whose VMs do not change their release in place. To replace it, on the same data disk," \
            'which takes some 5 minutes without a gateway:' "$by_replacement"
        ;;
    esac
    refuse "$vm has not reported yet whether it changes its release in place. Once it is ready, run this again:" \
        "  bake gcloud wait$fleet | sh" 'Or replace it, on the same data disk:' "$by_replacement"
}
