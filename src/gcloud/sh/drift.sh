# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154
# Compares a VM's metadata with bake.yaml. `vm_metadata` is gcloud's command.

# Sets `$drift`, the words of `$wanted_metadata` that the lines `$1` lack, and `$unknown`, their keys that are not
# in `$known_keys`.
compare_metadata() {
    drift='' unknown=''
    for word in $wanted_metadata; do
        printf '%s\n' "$1" | grep -qxF -e "$word" || drift="$drift $word"
    done
    for word in $(printf '%s\n' "$1" | sed -n 's/^\([A-Za-z0-9_-]*\)=.*/\1/p'); do
        case " $known_keys " in
        *" $word "*) ;;
        *) unknown="$unknown $word" ;;
        esac
    done
}

# Nothing differs in a VM that is missing or about to be replaced.
find_drift() {
    drift=''
    [ -z "${now:-}" ] || return 0
    there=$(ask vm_metadata)
    [ -n "$there" ] || return 0
    compare_metadata "$there"
    [ -z "$unknown" ] || echo "note: $vm has metadata that bake did not set, and keeps it:$unknown" >&2
}
