# shellcheck shell=sh
# `run` and `ask` run every command of gcloud: they answer known errors with the next command, and keep
# gcloud from reading this script on its standard input.

# Without this a list that gcloud may not read, or cannot, is an empty one with a warning.
export CLOUDSDK_COMPUTE_ALLOW_PARTIAL_ERROR=false

# Makes or changes something.
run() {
    tried "$@" </dev/null || return
    [ -z "$said" ] || printf '%s\n' "$said" >&2
}

# Looks something up, and is silent where that went well.
ask() {
    tried "$@" </dev/null
}

# As it is, with the standard input that is given.
tried() {
    code=0
    { said=$("$@" 2>&1 >&3 3>&-) || code=$?; } 3>&1
    [ "$code" = 0 ] && return
    printf '%s\n' "$said" >&2
    answer "$said" >&2
    return "$code"
}

# The next command, by gcloud's error.
answer() {
    case $1 in
    *constraints/*) answer_policy "$1" ;;
    *'gcloud auth login'* | *Reauthentication* | *'have an active account'*)
        echo 'gcloud is not logged in: gcloud auth login' ;;
    *BILLING_DISABLED* | *'illing must be enabled'* | *'illing account'*)
        echo "Billing is off for this project: https://console.cloud.google.com/billing/linkedaccount?project=${project:-}" ;;
    *SERVICE_DISABLED* | *'has not been used in project'* | *'API ['*'not enabled'*)
        echo 'An API is not enabled, or was a moment ago: bake gcloud setup | sh, and try again in a minute' ;;
    *RESOURCE_POOL_EXHAUSTED* | *'enough resources available'*)
        echo 'The zone has no such machine free: try again later, or set another gcp.zone in bake.yaml' ;;
    *QUOTA* | *[Qq]'uota '*)
        echo "A quota of the project is used up. Ask for more, or set a smaller gcp.machine_type in bake.yaml: https://console.cloud.google.com/iam-admin/quotas?project=${project:-}" ;;
    *'ervice account'*'does not exist'* | *serviceAccounts*'not found'* | *'ervice_account'*'not found'*)
        echo 'The service account is not there yet: bake gcloud setup | sh' ;;
    *'access to service account'*)
        echo 'A VM may act as its service account only where this account may: bake gcloud setup | sh, or ask an owner of the project for the role roles/iam.serviceAccountUser on it' ;;
    *disks/*'already being used by'*)
        echo 'The disk is attached to another VM, and can be to one only. Once that does without it: gcloud compute instances detach-disk VM --disk=DISK' ;;
    *networks/default*'not found'*)
        echo "The project has no network called default: gcloud compute networks create default --project=${project:-}" ;;
    *PERMISSION_DENIED* | *forbidden* | *'Required '*' permission'* | *'does not have permission'*)
        echo 'This account may not do that. Which one it is: gcloud auth list. Another: gcloud config set account ACCOUNT' ;;
    esac
}

# Policies of an organization ("Organization policy constraints", Resource Manager).
answer_policy() {
    case $1 in
    *compute.vmExternalIpAccess*)
        echo 'A policy of your organization forbids public addresses. In bake.yaml: gcp.public_ip: false; then bake gcloud setup | sh, and bake render' ;;
    *compute.trustedImageProjects*)
        echo 'A policy of your organization forbids images of this project. Ask for debian-cloud or ubuntu-os-cloud in compute.trustedImageProjects, or set host.os in bake.yaml to one that is allowed' ;;
    *gcp.resourceLocations*)
        echo 'A policy of your organization forbids this location. Set gcp.zone in bake.yaml to one that is allowed' ;;
    *compute.requireOsLogin*)
        echo 'A policy of your organization requires OS Login, which bake turns on: something else turned it off. bake gcloud status | sh' ;;
    *compute.disableSerialPortLogging* | *compute.disableSerialPortAccess*)
        echo 'A policy of your organization forbids the serial port. Ask for an exception: wait and logs read it' ;;
    *compute.disableGuestAttributesAccess*)
        echo 'A policy of your organization forbids guest attributes. Ask for an exception: wait and status read them' ;;
    *iam.disableServiceAccountCreation*)
        echo 'A policy of your organization forbids new service accounts. Ask for one, and set gcp.service_account in bake.yaml to its id' ;;
    *)
        echo 'A policy of your organization forbids this; its name begins with constraints/ above. Its administrator can make an exception' ;;
    esac
}
