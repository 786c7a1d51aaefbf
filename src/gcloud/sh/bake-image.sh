# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154
# An OS image that a temporary VM, the builder `$vm`, becomes. `base_image`, `builder`, `baked_images`, `vm_report`,
# `vm_serial` and `make_image` are gcloud's commands. `$bundle` is the digest of the content of the image.

# Sets `$state` (nothing without a builder), `$owner`, `$bundle_there` and `$base_there`.
look_at_builder() {
    quietly builder builder || return
    state='' owner='' bundle_there='' base_there=''
    IFS='|' read -r state owner bundle_there base_there <"$scratch/builder" || true
}

# STATE OWNER BUNDLE BASE STATUS of the builder; nothing without one.
# shellcheck disable=SC2030,SC2031 # in one subshell
builder_now() (
    scratch
    reports=TRUE started=''
    look_at_builder || give_up
    [ -n "$state" ] || return 0
    listen || give_up
    echo "$state ${owner:--} ${bundle_there:--} ${base_there:--} ${status:--}"
)

# Decides what to do: `$new_image`, `$new_builder`, `$old_builder` and `$old_images`; `$base` is the stock image.
find_builder() {
    old_builder='' new_builder='' new_image='' current='' current_base=''
    base=$(ask base_image)
    images=$(ask baked_images)
    [ -n "$force" ] || current=$(printf '%s\n' "$images" | LC_ALL=C awk -v bundle="$bundle" '$2 == bundle { print $1, $3; exit }')
    current_base=${current#* } current=${current%% *}
    now=$(builder_now)
    [ -z "$now" ] || case " $now " in
    *" $owner_here "*) ;;
    *)
        refuse "There is a VM $vm in $zone that is not a builder of this project: bake leaves it alone." \
            'Give the gateway another name in bake.yaml, or delete that VM:' \
            "  gcloud compute instances delete $vm --zone=$zone --project=$project"
        ;;
    esac
    if [ -n "$current" ]; then
        [ -z "$now" ] || old_builder=$vm
    else
        new_image=$family-$stamp
        state=${now%% *} report=${now##* }
        case "$state:$report: $now " in
        # On its way to this image, or there.
        TERMINATED:baked:*" $bundle "*) [ -z "$force" ] || state=other ;;
        PROVISIONING:*" $bundle "* | STAGING:*" $bundle "* | RUNNING:*" $bundle "* | STOPPING:*" $bundle "*)
            [ "$report" != failed ] || state=other
            ;;
        *) state=other ;;
        esac
        if [ "$state" = other ]; then
            new_builder=$vm
            [ -z "$now" ] || old_builder=$vm
        else
            base=${now% *} base=${base##* }
        fi
    fi
    keep=2
    [ -z "$new_image" ] || keep=1
    old_images=$(printf '%s\n' "$images" | LC_ALL=C awk -v keep="$keep" -v current="$current" 'NR > keep && $1 != current { print $1 }')
}

# The line of the plan if there is nothing to bake.
show_kept() {
    [ -n "$current" ] || return 0
    newer=''
    [ "$current_base" = "$base" ] || newer=" (there is a newer one, $base: bake gcloud image --force | sh)"
    keeps "image $current, of this lock and bundle, from $current_base$newer"
}

# Waits until the builder has become an image and is off, in a separate subshell.
# shellcheck disable=SC2030,SC2031 # in one subshell
await_baked() (
    scratch
    reports=TRUE started='' shown='' shown_status='' unheard=yes trouble='' status='' error='' kind='' since=''
    while :; do
        if look_at_builder && { [ -z "$state" ] || listen; }; then
            view="$state $status $error"
            [ -n "$status" ] || view="$state"
            if [ -z "$state" ]; then
                tell "The builder $vm is gone: Compute Engine deletes one that runs for $longest minutes, and another run of bake gcloud image may have deleted it. To look for an image, or bake one: bake gcloud image | sh"
                return 1
            elif [ "$view" = "$shown" ]; then
                :
            elif [ -z "$status" ]; then
                line "no report yet; the VM is $state"
            else
                show_stages
                shown_status=$status unheard=no
            fi
            shown=$view
            case $state:$status in
            TERMINATED:baked) return 0 ;;
            *:failed)
                tell "$vm failed${since:+, since $since}: $error"
                explain_builder
                return 1
                ;;
            PROVISIONING:* | STAGING:* | RUNNING:* | STOPPING:* | REPAIRING:*) ;;
            *)
                tell "$vm is $state, and has not become an image. Its last report: ${status:-none}${error:+: $error}"
                explain_builder
                return 1
                ;;
            esac
            if [ "$reports" = no ]; then
                may_report || return 1
            fi
        elif explained; then
            return 1
        else
            try_again
        fi
        if [ "$(elapsed)" -ge "$timeout" ]; then
            tell "$vm has not become an image after $timeout s. It is ${state:-unknown}, and its last report: ${status:-none}${error:+: $error}"
            explain_builder
            return 1
        fi
        sleep "$pause"
    done
)

# shellcheck disable=SC2030,SC2031 # in one subshell
explain_builder() {
    if quietly serial vm_serial; then
        plain <"$scratch/serial" >"$scratch/plain"
        tell "From its serial console (all of it: gcloud compute instances get-serial-port-output $vm --zone=$zone --project=$project):"
        serial_excerpt
    fi
    # The usual advice is about the gateway's own VM.
    if ran_out_of_memory "$scratch/serial"; then
        tell "It ran out of memory. With gcp.machine_type: $larger in bake.yaml: bake render && bake gcloud image | sh"
    elif [ -z "$status" ]; then
        tell 'It has no network (without a public address it needs Cloud NAT: bake gcloud setup | sh).'
    fi
}

bake_image() {
    await_baked || exit "$?"
    run make_image
}
