# shellcheck shell=sh
# shellcheck disable=SC2154
# Prints the releases of VMs.
printed=''

list_releases() (
    scratch
    observe_releases
    [ -n "$state" ] || { may_run || return; }
    if [ "$contract" != 1 ]; then
        may_report || return
        tell "$vm is of a bake whose VMs have no releases, or has not reported any yet."
        return 1
    fi
    printf '%s\n' "$releases"
)

# One table for each VM.
show_releases() {
    rows=$(list_releases) || {
        failed "$?"
        return 0
    }
    [ -z "$fleet" ] || printf '%s\n' "$vm"
    printf '%s\n' "$rows" | LC_ALL=C awk '
        function row(id, version, lock, since, state) {
            printf "%-17s %-14s %-17s %-21s %s\n", id, version, lock, since, state
        }
        BEGIN { row("RELEASE", "OPENCLAW", "LOCK", "SINCE", "STATE") }
        {
            state = $5
            if ($5 == "current") state = "current, healthy when it was taken"
            if ($5 == "kept") state = "kept with a copy of its state: bake gcloud rollback"
            if ($5 == "gone") state = "gone: its files or its state are not on this VM"
            if ($5 == "failed:") { state = $0; sub(/^[^ ]* [^ ]* [^ ]* [^ ]* /, "", state) }
            row($1, $2, $3, $4, state)
        }'
}

# The VM as an element of the document.
print_releases() {
    rows=$(list_releases) || {
        failed "$?"
        return 0
    }
    [ -n "$printed" ] || printf '{"version":1,"vms":['
    [ -z "$printed" ] || printf ','
    printf '\n{"name":%s,"releases":[' "$(json "$vm")"
    printed=yes first=yes
    while IFS=' ' read -r id version lock since kind why; do
        [ -n "$id" ] || continue
        [ "$first" = yes ] || printf ','
        first=no
        printf '\n{"release":%s,"openclaw":%s,"lock":%s,"since":%s,"state":%s,"healthy":%s,"error":%s}' \
            "$(json "$id")" "$(json "$version")" "$(json "$lock")" "$(json "$since")" \
            "$(json "${kind%:}")" "$([ "$kind" = failed: ] && echo false || echo true)" "$(json "$why")"
    done <<END
$rows
END
    printf ']}'
}

end_document() {
    [ -n "$printed" ] || printf '{"version":1,"vms":['
    printf ']}\n'
    conclude
}

# An exit code for all VMs.
conclude() {
    return "$worst"
}
