# shellcheck shell=sh
# shellcheck disable=SC2154
# Ends the script before a VM is deleted, stopped or changed that needs something missing. `look_up` is gcloud's command.

# Ends the script where `look_up` finds nothing. `$1` names the resource, `$2` says what to do. An account that
# deploys need not be able to see everything.
require_found() {
    [ -n "$now" ] || return 0
    # gcloud's messages, then one line if it finds something.
    said=$({ if found=$(look_up </dev/null 2>&3) && [ -n "$found" ]; then echo 'it exists'; fi; } 3>&1)
    case $said in
    *'it exists') return 0 ;;
    *NOT_FOUND* | *'not found'*) ;;
    *PERMISSION_DENIED* | *forbidden* | *[Pp]'ermission '*)
        echo "note: this account may not look up the $1" >&2
        return 0
        ;;
    *ERROR:*)
        printf '%s\n' "$said" >&2
        answer "$said" >&2
        exit 1
        ;;
    esac
    refuse "There is no $1, which the VM needs. A VM that was deleted now would not come back." "$2"
}
