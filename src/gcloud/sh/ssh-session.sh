# shellcheck shell=sh
# shellcheck disable=SC2154
# SSH to the VM, and what its failures mean. `vm_session` is the session, `vm_probe` one that does
# nothing.

# So many seconds may SSH keys and roles take to arrive, and a VM to boot.
patience=120
pause=10

# Quietly, so that the reason can be read.
gets_in() {
    quietly probe vm_probe
}

# The command that grants a role.
grant() {
    tell "  gcloud $1 --member=\"user:\$(gcloud config get-value account)\" --role=$2"
}

# Explains a permanent obstacle. Fails for a temporary one.
obstacle() {
    case $(refusal) in
    *"[4033:"* | *"not authorized"*)
        tell 'Identity-Aware Proxy does not let your account through. The owner of the project can grant it:'
        grant "projects add-iam-policy-binding $project" roles/iap.tunnelResourceAccessor
        ;;
    *"does not support SSH"* | *"ssh: not found"* | *"such file or directory: 'ssh"*)
        tell 'There is no ssh on this machine: install OpenSSH.'
        ;;
    *"ermission denied (publickey"* | *"onnection closed by"* | *"onnection refused"* | *"imed out"* | \
        *"o route to host"* | *"[4003:"* | *"failed to connect to backend"* | *"[4047:"* | *"Failed to lookup instance"*)
        return 1
        ;;
    *) explained || tell "$(refusal)" ;;
    esac
}

# Explains an obstacle that did not pass.
lasting_obstacle() {
    case $(refusal) in
    *"ermission denied (publickey"* | *"onnection closed by"*)
        tell 'OS Login does not let your account in. It needs two roles, on the project and on the account of the VM:'
        grant "projects add-iam-policy-binding $project" roles/compute.osAdminLogin
        grant "iam service-accounts add-iam-policy-binding $account --project=$project" roles/iam.serviceAccountUser
        tell 'and an account of another organization roles/compute.osLoginExternalUser. Your OS Login profile:' \
            '  gcloud compute os-login describe-profile'
        ;;
    *)
        tell 'The VM does not answer to SSH. Either no rule of the firewall lets you in:' \
            "  gcloud compute firewall-rules create $tag-ssh --project=$project --direction=INGRESS --allow=tcp:22 --target-tags=$tag --source-ranges=$ranges" \
            'or the VM is overloaded or broken:' \
            "  bake gcloud status$fleet | sh" "  bake gcloud logs${fleet:+ --member $vm} | sh"
        ;;
    esac
}

# After a probe that failed: returns once the VM lets this account in, and fails where it does not.
let_in() {
    waited=0
    while :; do
        if obstacle; then
            return 1
        fi
        if [ "$waited" -ge "$patience" ]; then
            lasting_obstacle
            return 1
        fi
        [ "$waited" -gt 0 ] ||
            tell 'Not let in yet: SSH keys and roles take a minute or two to arrive, and a VM to boot. Trying again.'
        sleep "$pause"
        waited=$((waited + pause))
        ! gets_in || return 0
    done
}

# Runs the session with the standard input `$1`. If it cannot start, finds the reason, and starts it again
# once it can. Ends with its exit code, or with 255, like ssh, if there was no session.
reach() (
    scratch
    code=0
    vm_session <"$1" || code=$?
    # 255 is ssh's own and 1 gcloud's, but either may come from the VM too; all else does.
    case $code in
    1 | 255) ;;
    *) return "$code" ;;
    esac
    if gets_in; then
        [ "$code" = 1 ] || tell "$broken"
        return "$code"
    fi
    cp "$scratch/error" "$scratch/obstacle"
    if look; then
        may_run || return 255
    fi
    mv "$scratch/obstacle" "$scratch/error"
    let_in || return 255
    vm_session <"$1"
)

there_is_a_terminal() {
    (: </dev/tty) 2>/dev/null
}

# A shell on the VM.
open_shell() {
    account=$1 broken='The connection broke. The command in it may have ended; the gateway is running.'
    there_is_a_terminal || {
        tell 'There is no terminal to type on.'
        return 1
    }
    reach /dev/tty
}

# The token that the VM has made.
read_token() {
    account=$1 broken='The connection broke. Run it again.'
    code=0
    reach /dev/null || code=$?
    case $code in
    0 | 255) ;;
    *)
        tell 'The token could not be read. Your account needs roles/compute.osAdminLogin, and the VM must have made it:' \
            "  bake gcloud status$fleet | sh"
        ;;
    esac
    return "$code"
}
