# shellcheck shell=sh
# shellcheck disable=SC2154
# A managed instance group reports "done" at once, and keeps working. `group_state` and `group_errors` are
# gcloud's commands; `$fleet` is the option that names the members.

# Ends with an error unless the group has created all its VMs, of one bundle, within `$1` seconds. Errors are
# printed as soon as Compute Engine reports them.
settled() {
    patience=$1
    since=$(date -u +%Y-%m-%dT%H:%M:%SZ) begun=$(date +%s) trouble=''
    while :; do
        work=$(ask group_state) || exit
        case $work in
        True*True) return ;;
        '') no_group ;;
        esac
        # It keeps those of earlier days, too.
        said=$(ask group_errors | LC_ALL=C awk -v since="$since" '$1 >= since')
        if [ -n "$said" ] && [ "$said" != "$trouble" ]; then
            trouble=$said
            printf '%s\n' "$said" >&2
            advice=$(answer "$said")
            [ -z "$advice" ] || goes_on "$advice"
        fi
        [ $(($(date +%s) - begun)) -lt "$patience" ] ||
            goes_on "The group $group is not done after $patience s: a VM is on its way, or not of the new bundle yet."
        sleep 10
    done
}

goes_on() {
    printf '%s\n' "$1" 'The group tries on by itself. To see it through:' "  bake gcloud wait$fleet | sh" >&2
    exit 1
}

no_group() {
    printf '%s\n' "There is no group $group in zone $zone of project $project. To create it:" \
        "  bake gcloud create$fleet | sh" >&2
    exit 1
}

# One check for `settled`.
rests() {
    work=$(ask group_state) || exit
    case $work in
    True*True) return ;;
    '') no_group ;;
    esac
    echo "The group $group is at work: a VM is on its way, or not of the new bundle yet. Its errors:" >&2
    ask group_errors >&2
    failed 1
}
