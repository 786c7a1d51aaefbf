# shellcheck shell=sh
# shellcheck disable=SC2154
# One look at the VM `$vm`, from outside. `vm_state`, `vm_report` and `vm_serial` are gcloud's commands.

# The rest of standard output is for programs; this is for the person.
tell() {
    printf '%s\n' "$@" >&2
}

# Text from programs on the VM goes to a terminal: removes control sequences (ECMA-48, 5.4) and control
# characters, as single bytes and in UTF-8.
plain() {
    LC_ALL=C sed "s|$(printf '\033')\\[[0-?]*[ -/]*[@-~]||g; s|$(printf '\302')[$(printf '\200')-$(printf '\237')]||g" |
        LC_ALL=C tr -d '\000-\010\013-\037\177'
}

# A folder for gcloud's messages, as `$scratch`; it is removed with the shell or subshell that calls this.
scratch() {
    scratch=$(mktemp -d "${TMPDIR:-/tmp}/bake.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# Runs the command `$2…`. Its output goes to the file `$1` of the scratch folder, its errors to `refusal`.
quietly() {
    file=$scratch/$1
    shift
    "$@" </dev/null >"$file" 2>"$scratch/error"
}

# The last error on one line, since gcloud wraps long ones.
refusal() {
    plain <"$scratch/error" | tr -s '\n\t ' '   ' | sed 's/ $//'
}

# Tells the last error and what helps; fails where nothing is known to, for then it may pass by itself.
explained() {
    advice=$(answer "$(refusal)")
    [ -n "$advice" ] && tell "$(refusal)" "$advice"
}

# Ends with the last error.
give_up() {
    explained || tell "$(refusal)" "$(answer_offline "$(refusal)")"
    exit 1
}

worst=0

# After a failure, by the exit code of the subshell that looked at the VM: continues with the next VM,
# except after Ctrl-C, after which bash would continue too.
# shellcheck disable=SC2034 # not every script ends with it
failed() {
    [ "$1" -lt 128 ] || exit "$1"
    worst=1
}

# Sets `$state` (nothing where there is no such VM), `$id`, `$started` (UTC), `$label` (the lock that
# the VM was made for, shortened), `$reports` (whether its guest attributes are on), `$bundle_there` (the
# digest of everything it was made from), `$machine`, `$version_there` (of OpenClaw) and `$bake_there` at that
# time, and the service `$identity` with its `$scopes`.
# shellcheck disable=SC2034 # not every script reads all of it
look() {
    quietly state vm_state || return
    state='' id='' started='' label='' reports='' bundle_there='' machine='' version_there='' bake_there=''
    identity='' scopes=''
    IFS='|' read -r state id started label reports bundle_there machine version_there bake_there identity scopes \
        <"$scratch/state" || true
}

# Sets what the VM reports: `$status` (empty before the first report since it was started), `$error`,
# `$kind` (of the error), `$since`, `$lock_there`, `$free` and `$total` MiB of the data disk, `$reboot` (if the
# operating system needs a restart), when its binaries were `$verified` and how many; `$contract` (1 if it changes
# its release in place), the stage `$update` of the last such change, its `$update_release` and `$update_error`, and
# its `$update_request`.
# shellcheck disable=SC2034 # not every script reads all of it
listen() {
    status='' error='' kind='' since='' lock_there='' free='' total='' reboot='' verified=''
    contract='' update='' update_release='' update_error='' update_request=''
    if ! quietly report vm_report; then
        case $(refusal) in
        # Before the first guest attribute.
        *"Guest Attribute' was not found"*) : >"$scratch/report" ;;
        *"uest attributes"*disabled* | *disableGuestAttributesAccess*)
            : >"$scratch/report"
            reports=no
            ;;
        *) return 1 ;;
        esac
    fi
    plain <"$scratch/report" >"$scratch/plain"
    while IFS=' ' read -r key value; do
        case $key in
        status) status=$value ;;
        error) error=$value ;;
        error_kind) kind=$value ;;
        since) since=$value ;;
        lock) lock_there=$value ;;
        contract) contract=$value ;;
        update) update=$value ;;
        update_release) update_release=$value ;;
        update_error) update_error=$value ;;
        update_request) update_request=$value ;;
        disk) free=${value%% *} total=${value##* } ;;
        reboot) reboot=$value ;;
        verified) verified=$value ;;
        esac
    done <"$scratch/plain"
    # A shell may run what it reckons with.
    case $free:$total in
    *[!0-9:]* | :* | *:) free='' total='' ;;
    esac
    # Guest attributes outlive a stop: reports from before the last start are outdated.
    if [ -n "$since" ] && [ -n "$started" ] && expr "x$since" \< "x$started" >/dev/null; then
        status='' error='' kind='' since='' free='' total='' reboot='' verified=''
    fi
}

# Fails, and says what to do, where no gateway can be running.
may_run() {
    case $state in
    PROVISIONING | STAGING | RUNNING | REPAIRING) return 0 ;;
    '')
        tell "There is no VM $vm in zone $zone of project $project. To create it:" "  bake gcloud create$fleet | sh"
        ;;
    SUSPEND*)
        tell "$vm is suspended ($state). To resume:" \
            "  gcloud compute instances resume $vm --project=$project --zone=$zone"
        ;;
    *)
        tell "$vm is stopped ($state). To start it:" \
            "  gcloud compute instances start $vm --project=$project --zone=$zone"
        ;;
    esac
    return 1
}

# Fails, and says what to do, where no report can come.
may_report() {
    [ -z "$status" ] || return 0
    case $reports in
    *TRUE* | *[Tt]rue*) return 0 ;;
    esac
    tell "$vm cannot report its status: its guest attributes are off. Turn them on, and run this again:" \
        "  gcloud compute instances add-metadata $vm --project=$project --zone=$zone --metadata=enable-guest-attributes=TRUE" \
        'If that is refused, a policy of your organization forbids them (compute.disableGuestAttributesAccess).'
    return 1
}
