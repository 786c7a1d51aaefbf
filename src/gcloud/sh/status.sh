# shellcheck shell=sh
# shellcheck disable=SC2154
# Prints the state of each VM, as lines or as JSON, and advice for problems. The commands are gcloud's.

# A line of the report.
show() {
    [ -n "$as_json" ] || printf '  %-8s %s\n' "$1" "$2"
}

# Adds the word `$1` to `$problems`, and tells the rest.
problem() {
    problems="$problems $1"
    shift
    [ "$#" = 0 ] || tell "$@"
}

# A problem that makes the exit code 1.
wrong() {
    well=1
    problem "$@"
}

# Whole hours since the time `$1`, in UTC; nothing for a time that is not past.
hours_since() {
    printf '%s\n' "$1" | tr -c '0-9\n' ' ' | LC_ALL=C awk -v now="$(date +%s)" 'NF >= 6 {
        # Days since 1970 of a year that begins in March.
        year = $1 - ($2 < 3)
        month = ($2 + 9) % 12
        days = year * 365 + int(year / 4) - int(year / 100) + int(year / 400) + int((153 * month + 2) / 5) + $3 - 719469
        hours = int((now - ((days * 24 + $4) * 60 + $5) * 60 - $6) / 3600)
        if (hours >= 0) print hours
    }'
}

# The VM against bake.yaml and bake.lock.
show_origin() {
    show machine "$machine"
    [ -z "$version_there" ] || show openclaw "$version_there"
    [ -z "$bake_there" ] || show bake "$bake_there"
    if [ -n "$identity" ]; then
        case "$identity $scopes" in
        "$wanted_account"@*/auth/cloud-platform*) ;;
        *)
            wrong other-identity "The VM is $identity with the scopes $scopes. To give it the service account $wanted_account and the scope cloud-platform:" \
                "  bake gcloud update --replace$fleet | sh"
            ;;
        esac
    fi
    [ -n "$bundle" ] && [ -n "$bundle_there" ] || return 0
    if [ "$machine" != "$wanted_machine" ]; then
        change="resize $wanted_machine"
        [ -z "$fleet" ] || change="update --replace$fleet"
        wrong other-machine-type "bake.yaml says $wanted_machine. To keep $machine, write it there; to change the VM:" \
            "  bake gcloud $change | sh"
    elif [ "$bundle" != "$bundle_there" ]; then
        wrong other-bundle 'bake.yaml or bake.lock has changed since the VM was made. The changes of an update, and the update:' \
            "  bake render" "  bake gcloud plan$fleet | sh" "  bake gcloud update$fleet | sh"
    fi
}

# Metadata that was changed by hand.
show_metadata() {
    drift='' unknown=''
    [ -n "$wanted_metadata" ] || return 0
    quietly metadata vm_metadata || give_up
    [ -s "$scratch/metadata" ] || return 0
    compare_metadata "$(plain <"$scratch/metadata")"
    [ -z "$drift" ] || wrong other-metadata "The VM's metadata is not that of bake.yaml, which says:$drift. To set it again:" \
        "  bake gcloud update$fleet | sh"
    [ -z "$unknown" ] || show metadata "also$unknown, which bake did not set"
}

# Whole days since the date in the name of an OS image: `…-v20261110`, or `…-20261130-101500`.
days_of_image() {
    hours=$(hours_since "$(printf '%s\n' "$1" |
        sed -n 's/^.*-v\{0,1\}\(20[0-9][0-9]\)\([01][0-9]\)\([0-3][0-9]\)\(-[0-9]\{6\}\)\{0,1\}$/\1-\2-\3 00:00:00/p')")
    [ -z "$hours" ] || echo "$((hours / 24))"
}

# The OS image of the boot disk, and of a baked one the stock image.
show_image() {
    image='' image_days='' stock='' stock_days=''
    [ -n "$state" ] || return 0
    quietly image vm_image || give_up
    read -r image <"$scratch/image" || [ -n "$image" ] || return 0
    image_days=$(days_of_image "$image")
    case $image in
    "$image_names"-*)
        quietly stock stock_image || give_up
        read -r stock <"$scratch/stock" || true
        stock_days=$(days_of_image "$stock")
        ;;
    esac
    show image "$image${image_days:+, $image_days days old}${stock:+, from $stock${stock_days:+, $stock_days days old}}"
}

# The data disk in use, and older ones that a restore has left.
show_disks() {
    disk='' size='' others=''
    [ "$wanted_size" != 0 ] || return 0
    quietly disks vm_disks || give_up
    while IFS=' ' read -r each each_size; do
        [ -n "$each" ] || continue
        if [ -z "$disk" ]; then
            disk=$each size=$each_size
            show disk "$disk, $size GB${free:+, $free of $total MiB free}"
            [ "$size" = "$wanted_size" ] || problem other-disk-size "bake.yaml says ${wanted_size}GB for the data disk: bake gcloud plan$fleet | sh"
        else
            others="$others $each:$each_size"
            show 'old disk' "$each, $each_size GB, which a restore has left; you keep paying for it"
        fi
    done <"$scratch/disks"
    if [ -n "$free" ] && [ "$((free * 10))" -lt "$total" ]; then
        problem disk-nearly-full "The data disk is nearly full. Set gcp.data_disk in bake.yaml to a larger size; it grows in use:" \
            "  bake render" "  bake gcloud update$fleet | sh"
    fi
}

# The newest snapshot, and the newest that the schedule did not take.
show_snapshots() {
    snapshot='' taken='' backup='' backup_taken='' snapshot_age='' backup_age=''
    [ "$wanted_size" != 0 ] || return 0
    quietly snapshots vm_snapshots || give_up
    while IFS=' ' read -r each each_taken scheduled; do
        [ -n "$each" ] || continue
        [ -n "$snapshot" ] || snapshot=$each taken=$each_taken
        case $scheduled in
        [Tt]rue) ;;
        *) [ -n "$backup" ] || backup=$each backup_taken=$each_taken ;;
        esac
    done <"$scratch/snapshots"
    snapshot_age=$(hours_since "$taken")
    backup_age=$(hours_since "$backup_taken")
    show snapshot "${snapshot:-none yet}${taken:+, of $taken}${snapshot_age:+, $snapshot_age hours ago}"
    show backup "${backup:-none yet: bake gcloud backup${fleet:+ --member $vm} | sh}${backup_taken:+, of $backup_taken}${backup_age:+, $backup_age hours ago}"
    if [ -n "$keep_days" ] && [ "${snapshot_age:-0}" -ge 49 ]; then
        problem snapshots-late 'The schedule takes a snapshot every day, but the newest is older. Whether the disk has the schedule:' \
            "  bake gcloud plan$fleet | sh"
    fi
}

# The VM's lock against that of this project.
show_lock() {
    # Before the first report its label tells, which holds the first digits only.
    there=${lock_there:-$label}
    if [ -z "$lock" ]; then
        show lock "$there; there is no bake.lock here to compare it with"
        return 0
    fi
    case $lock in
    "$there"*)
        if [ -n "$there" ]; then
            show lock "$there, that of bake.lock"
        else
            show lock 'the VM has not said which'
            well=1 problems="$problems unknown-lock"
        fi
        ;;
    *)
        show lock "$there; bake.lock is $lock"
        wrong other-lock "The VM was made for another bake.lock than this one. To bring it there${fleet:+, with its whole fleet}:" \
            '  bake render' "  bake gcloud update$fleet | sh"
        ;;
    esac
}

# TIME RIGHT ALL, of the VM's binaries.
show_verified() {
    case $verified in
    *' '*' '*) ;;
    *) return 0 ;;
    esac
    counts=${verified#* }
    show binaries "${counts% *} of ${counts#* } are what bake.lock says, at ${verified%% *}"
}

# The VM's own report.
show_gateway() {
    status='' error='' kind='' since='' lock_there='' free='' total='' reboot='' verified=''
    may_run || {
        wrong not-running
        return 0
    }
    listen || give_up
    show gateway "${status:-no report since the VM was started}${since:+, since $since}${error:+: $error}"
    may_report || {
        wrong no-reports
        return 0
    }
    if [ "$state" != RUNNING ] || [ "$status" != ready ]; then
        quietly serial vm_serial || :
        remedy "$scratch/serial"
        wrong not-ready 'Not ready. To see it through, and what it says:' \
            "  bake gcloud wait$fleet | sh" "  bake gcloud logs${fleet:+ --member $vm} | sh"
    fi
    show_lock
    show_verified
    if [ -n "$reboot" ]; then
        show reboot 'required, by an update of the operating system'
        problem reboot-required 'To restart the VM (host.reboot_at sets a time for it); the gateway finishes its reply, and is away for some 2 minutes:' \
            "  bake gcloud ssh${fleet:+ --member $vm} | sh" '  sudo systemctl reboot'
    fi
}

show_vm() (
    scratch
    # shellcheck disable=SC2030 # print_json reads them in the same subshell
    well=0 problems=''
    look || give_up
    [ -n "$as_json" ] || echo "$vm in $zone of $project"
    show vm "${state:-is not there}${started:+, started $started}"
    show_gateway
    [ -z "$state" ] || show_origin
    show_metadata
    show_image
    show_disks
    show_snapshots
    show costs "$costs"
    [ -z "$as_json" ] || print_json
    return "$well"
)

# A list of JSON texts, of the words `$@`.
json_list() {
    separator=''
    printf '['
    for each; do
        printf '%s' "$separator"
        json "$each"
        separator=', '
    done
    printf ']'
}

# A member of an object: its name, and its value from the function `$2`.
member() {
    printf '%s"%s": ' "$comma" "$1"
    shift
    "$@"
    comma=', '
}

print_snapshot() {
    [ -n "$1" ] || {
        printf null
        return
    }
    printf '{"name": %s, "taken": %s, "hours_ago": %s}' "$(json "$1")" "$(json "$2")" "$(number "$3")"
}

print_disks() {
    separator=''
    printf '['
    for each in $others; do
        printf '%s{"name": %s, "size_gb": %s}' "$separator" "$(json "${each%:*}")" "$(number "${each#*:}")"
        separator=', '
    done
    printf ']'
}

# The object of a VM; docs/gcloud.md describes it.
# shellcheck disable=SC2031,SC2086 # lists of words
print_json() {
    comma=''
    printf '{'
    member name json "$vm"
    member zone json "$zone"
    member well printf %s "$([ "$well" = 0 ] && echo true || echo false)"
    member problems json_list $problems
    member state json "$state"
    member started json "$started"
    member status json "$status"
    member since json "$since"
    member error json "$error"
    member error_kind json "$kind"
    member lock json "${lock_there:-$label}"
    member wanted_lock json "$lock"
    member bundle json "$bundle_there"
    member wanted_bundle json "$bundle"
    member openclaw json "$version_there"
    member wanted_openclaw json "$wanted_version"
    member bake json "$bake_there"
    member wanted_bake json "$wanted_bake"
    member machine_type json "$machine"
    member wanted_machine_type json "$wanted_machine"
    member service_account json "$identity"
    member metadata_to_set json_list $drift
    member metadata_of_others json_list $unknown
    member reboot_required printf %s "$(if [ -n "$reboot" ]; then echo true; elif [ -n "$total" ]; then echo false; else echo null; fi)"
    member verified json "$verified"
    member image json "$image"
    member image_days number "$image_days"
    member stock_image json "$stock"
    member stock_image_days number "$stock_days"
    member disk json "$disk"
    member disk_gb number "$size"
    member wanted_disk_gb number "$wanted_size"
    member disk_mib number "$total"
    member free_mib number "$free"
    member old_disks print_disks
    member snapshot print_snapshot "$snapshot" "$taken" "$snapshot_age"
    member backup print_snapshot "$backup" "$backup_taken" "$backup_age"
    member monthly_usd number "$dollars"
    printf '}'
}

between=''
show_one() {
    if [ -z "$as_json" ]; then
        show_vm || failed "$?"
        return
    fi
    code=0
    object=$(show_vm) || code=$?
    if [ -z "$object" ]; then
        object=$(printf '{"name": %s, "zone": %s, "well": false, "problems": ["unreadable"]}' "$(json "$vm")" "$(json "$zone")")
    fi
    [ -n "$between" ] || printf '{"version": 1, "project": %s, "vms": [' "$(json "$project")"
    printf '%s%s' "$between" "$object"
    between=', '
    [ "$code" = 0 ] || failed "$code"
}

# A later look at a group may end the script.
end_document() {
    [ -z "$as_json" ] || echo ']}'
}

# An exit code for all VMs.
conclude() {
    return "$worst"
}
