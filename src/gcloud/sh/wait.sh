# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154
# Looks at VMs until their gateways are ready.

# A VM's guest attributes may be asked for ten times a minute in all ("Set and query guest attributes",
# Compute Engine).
pause=10
begin=$(date +%s)
# How `watch_vm` ends if the VM did not change its release.
undone=3

elapsed() {
    echo $(($(date +%s) - begin))
}

line() {
    said=$(printf '%5d s  %s  %s%s' "$(elapsed)" "$vm" "$1" "${2:+: $2}")
    printf '%s\n' "$said"
    [ -z "$chart" ] || printf '%s\n' "$said" >>"$chart.log"
}

# The file that the stages are drawn to, or nothing.
chart=

begin_chart() {
    : >"$chart.log"
}

draw_chart() {
    if command -v bake >/dev/null && bake chart "$chart.log" >"$chart"; then
        rm "$chart.log"
        tell "The boot as a picture: $chart"
    else
        tell 'The chart was not drawn. With bake on the PATH:' "  bake chart \"$chart.log\" > \"$chart\""
    fi
}

# A stage may come and go between two looks: they always follow each other.
show_stages() {
    between=$unheard
    for stage in $stages; do
        if [ "$stage" = "$status" ] || [ "$status" = failed ]; then
            break
        fi
        [ "$between" = no ] || line "$stage"
        [ "$stage" != "$shown_status" ] || between=yes
    done
    line "$status" "$error"
}

# How far the change of the release is that `$request` asks for, or, if that is `any`, the last one: `busy`, `undone`
# (it failed, and the VM is on the release before), or `over`.
change_state() {
    case $request in
    '')
        echo over
        return
        ;;
    any | "$update_request") ;;
    *)
        echo busy
        return
        ;;
    esac
    case $update in
    staging | image | verify | stopping | saving | trial | back | waiting) echo busy ;;
    refused | rolled-back) echo undone ;;
    *) echo over ;;
    esac
}

# Skips a change that was over before the first look.
show_update() {
    case $request in
    '') return ;;
    any | "$update_request") at="$update $update_error" ;;
    *) at='not begun' ;;
    esac
    if [ "$change" != busy ] && [ -z "$shown_update" ]; then
        return
    fi
    [ "$at" != "$shown_update" ] || return 0
    shown_update=$at
    case $at in
    'not begun') line 'update: the VM has not begun' ;;
    *) line "update: $update" "$update_error" ;;
    esac
}

explain_undone() {
    action=update
    case $update_request in
    rollback=*) action=rollback ;;
    esac
    case $update in
    refused) tell "$vm refused to change its release, and did not stop its gateway: $update_error" ;;
    *) tell "$vm changed its release, and went back to the one before with the state of before: $update_error" ;;
    esac
    tell 'Its log and its releases:' "  bake gcloud logs${fleet:+ --member $vm} --all | sh" \
        "  bake gcloud releases${fleet:+ --member $vm} | sh" \
        'The VM does not try this again by itself. Once the cause is removed:' "  bake gcloud $action --retry$fleet | sh"
}

# After an unexplained refusal: most likely the network is away for a moment.
try_again() {
    view=$(refusal)
    [ "$view" = "$trouble" ] || tell "$view" 'Trying again.'
    trouble=$view
}

# The serial console around the last failure that it tells of, or else its end.
show_serial() {
    quietly serial vm_serial || {
        tell "The serial console cannot be read: $(refusal)"
        return
    }
    plain <"$scratch/serial" >"$scratch/plain"
    tell "From the serial console (all of it: bake gcloud logs${fleet:+ --member $vm} --all | sh):"
    serial_excerpt
}

serial_excerpt() {
    LC_ALL=C awk '
        { lines[NR] = $0 }
        /openclaw: status=failed/ { failed = NR }
        END {
            from = failed ? failed - 15 : NR - 20
            to = failed ? failed + 5 : NR
            if (from < 1) from = 1
            if (to > NR) to = NR
            for (i = from; i <= to; i++) print "  | " lines[i]
        }' "$scratch/plain" >&2
}

# A member that its group replaces is missing for a while.
away() {
    [ -n "$fleet" ] || return
    case $state in
    PROVISIONING | STAGING | RUNNING | REPAIRING) return 1 ;;
    esac
}

where_it_stands() {
    if [ -z "$trouble" ] && away; then
        tell "$vm is not ready after $timeout s: its group replaces it, or cannot. The group's errors:" \
            "  gcloud compute instance-groups managed list-errors ${group:-} --project=$project --zone=$zone"
    elif [ "$change" = busy ] && [ -n "$status" ]; then
        tell "$vm has not changed its release after $timeout s. It is at \`${update:-none}\`${update_error:+: $update_error}"
    elif [ -n "$status" ]; then
        tell "$vm is not ready after $timeout s. Its status is \`$status\`${since:+ since $since}${error:+: $error}"
    elif [ -n "$state" ]; then
        tell "$vm is not ready after $timeout s. It is $state, and has reported nothing since it was started."
    else
        tell "$vm could not be looked at for $timeout s: $trouble"
    fi
    # A VM without memory may be too busy to report.
    if [ -n "$state" ] && ! away; then
        quietly serial vm_serial || :
        if [ -z "$status" ] && ! ran_out_of_memory "$scratch/serial"; then
            tell 'It has no network (without a public address it needs Cloud NAT: bake gcloud setup | sh),' \
                'or its OS image does not apply the user-data.'
        fi
        remedy "$scratch/serial"
    fi
    tell 'It continues by itself. Look at it, and wait again:' \
        "  bake gcloud logs${fleet:+ --member $vm} | sh" "  bake gcloud wait$fleet | sh"
}

# Waits for one VM, in a separate subshell.
# shellcheck disable=SC2030 # what it calls runs in the same subshell
watch_vm() (
    scratch
    state='' status='' error='' kind='' since='' shown='' shown_status='' unheard=no trouble=''
    change=over shown_update='' update='' update_error='' update_request=''
    while :; do
        looked=no
        if look && looked=yes && away; then
            status='' error='' since='' trouble='' unheard=yes
            view="away $state"
            [ "$view" = "$shown" ] || line "its group replaces it"
            shown=$view
        elif [ "$looked" = yes ] && { may_run || return; } && listen; then
            may_report || return
            change=$(change_state)
            show_update
            view="$status $error"
            if [ -z "$status" ]; then
                view=$state
                [ "$view" = "$shown" ] || line "no report yet; the VM is $state"
                unheard=yes
            elif [ "$view" != "$shown" ]; then
                show_stages
                shown_status=$status unheard=no
            fi
            shown=$view
        elif explained; then
            return 1
        else
            try_again
        fi

        # While a release is on trial, the VM itself decides about a failure.
        case $change:$status in
        busy:*) ;;
        undone:ready)
            explain_undone
            return "$undone"
            ;;
        *:ready) return 0 ;;
        *:failed)
            [ "$change" = over ] || explain_undone
            tell "$vm failed${since:+, since $since}: $error"
            show_serial
            remedy "$scratch/serial"
            tell 'The VM tries again by itself, in pauses of up to five minutes. Once it is mended, wait again:' \
                "  bake gcloud wait$fleet | sh"
            return 1
            ;;
        esac
        if [ "$(elapsed)" -ge "$timeout" ]; then
            where_it_stands
            return 1
        fi
        sleep "$pause"
    done
)

wait_for_gateway() {
    watch_vm || failed "$?"
}

# An exit code for all VMs.
conclude() {
    if [ "$worst" -eq 0 ]; then
        tell "The Control UI${fleet:+ of a member, here of $vm,} in the browser, and the token that it asks for:" \
            "  bake gcloud tunnel${fleet:+ --member $vm} | sh" "  bake gcloud token${fleet:+ --member $vm} | sh"
    fi
    return "$worst"
}
