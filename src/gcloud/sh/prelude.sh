# shellcheck shell=sh
# `run` and `ask` run every command of gcloud: they answer known errors with the next command, and keep
# gcloud from reading this script on its standard input.

# Without this a list that gcloud may not read, or cannot, is an empty one with a warning.
export CLOUDSDK_COMPUTE_ALLOW_PARTIAL_ERROR=false

# Makes or changes something. gcloud's progress and errors appear as it prints them.
run() {
    { said=$({
        code=0
        "$@" 2>&1 >&3 3>&- 4>&- </dev/null || code=$?
        printf '\nexit code %s\n' "$code"
    } | pass_on); } 3>&1 4>&2
    code=${said##*exit code } said=${said%exit code *}
    case $code in
    0) return 0 ;;
    *[!0-9]* | '') code=130 ;; # interrupted
    esac
    {
        answer "$said"
        answer_offline "$said"
    } >&2
    return "$code"
}

# Passes lines on to the terminal at once, and to the caller with the exit code.
pass_on() {
    while IFS= read -r line; do
        case $line in
        '') continue ;;
        'exit code '*) ;;
        *) printf '%s\n' "$line" >&4 ;;
        esac
        printf '%s\n' "$line"
    done
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
    {
        answer "$said"
        answer_offline "$said"
    } >&2
    return "$code"
}

# An error that passes by itself, so that `wait` does not end with it; gcloud calls it a crash.
answer_offline() {
    case $1 in
    *'Max retries exceeded'* | *'Failed to resolve'* | *'Unable to find the server'* | *'Network is unreachable'*)
        echo 'Google cannot be reached from here. Check the network, and a proxy (gcloud config list proxy/), and run it again' ;;
    esac
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
    *"uota 'IMAGES'"*)
        echo "The project has as many images as its quota allows. Delete some, or ask for more: gcloud compute images list --no-standard-images --project=${project:-}" ;;
    *QUOTA* | *[Qq]'uota '*)
        echo "A quota of the project is used up. Ask for more, or set a smaller gcp.machine_type in bake.yaml: https://console.cloud.google.com/iam-admin/quotas?project=${project:-}" ;;
    *'ervice account'*'does not exist'* | *serviceAccounts*'not found'* | *'ervice_account'*'not found'*)
        echo 'The service account is not there yet: bake gcloud setup | sh' ;;
    *'access to service account'*)
        echo 'A VM may act as its service account only where this account may: bake gcloud setup | sh, or ask an owner of the project for the role roles/iam.serviceAccountUser on it' ;;
    *disks/*'already being used by'*)
        echo 'The disk is attached to another VM, and can be to one only. Once that does without it: gcloud compute instances detach-disk VM --disk=DISK' ;;
    *subnetworks/*'not found'* | *'No default subnetwork was found'*)
        echo 'There is no such subnet in the region of gcp.zone: set gcp.subnet in bake.yaml to one of: gcloud compute networks subnets list' ;;
    *networks/default*'not found'*)
        echo "The project has no network called default. Set gcp.network in bake.yaml to another, or make one: gcloud compute networks create default --project=${project:-}" ;;
    *global/networks/*'not found'*)
        echo 'There is no such network: set gcp.network in bake.yaml to one of: gcloud compute networks list' ;;
    *[Ss]'ubnetwork should be specified for custom'*)
        echo 'The network is in custom mode: set gcp.subnet in bake.yaml to one of: gcloud compute networks subnets list' ;;
    *compute.subnetworks.use*)
        echo 'This account may not use the subnet: an administrator of its project grants roles/compute.networkUser on it. bake gcloud setup | sh prints the command for a Shared VPC' ;;
    *PERMISSION_DENIED* | *forbidden* | *'Required '*' permission'* | *'does not have permission'*)
        echo 'This account may not do that. Which one it is: gcloud auth list. Another: gcloud config set account ACCOUNT' ;;
    esac
}

# Policies of an organization ("Organization policy constraints", Resource Manager): the key of bake.yaml that
# satisfies each, or the step of an administrator.
answer_policy() {
    case $1 in
    *vmExternalIpAccess*)
        echo 'A policy of your organization forbids public addresses. In bake.yaml: gcp.public_ip: false; then bake gcloud setup | sh, and bake render' ;;
    *trustedImageProjects*)
        echo 'A policy of your organization forbids images of that project. Set host.os in bake.yaml to a system of a project that is allowed, or have an administrator (roles/orgpolicy.policyAdmin) allow it:'
        echo "  gcloud resource-manager org-policies allow compute.trustedImageProjects projects/debian-cloud projects/ubuntu-os-cloud --project=${project:-}" ;;
    *gcp.resourceLocations*'[global]'* | *'[global]'*gcp.resourceLocations*)
        echo 'A policy of your organization forbids secrets that are stored anywhere. Create each in a region that is allowed, and run setup again:'
        echo "  gcloud secrets create ID --replication-policy=user-managed --locations=REGION --project=${project:-}" ;;
    *gcp.resourceLocations*)
        echo 'A policy of your organization forbids this location. Set gcp.zone in bake.yaml to one that is allowed' ;;
    *requireOsLogin*)
        echo 'A policy of your organization requires OS Login, which bake turns on, and other metadata turns off. For the VM: bake gcloud update | sh. For the project:'
        echo "  gcloud compute project-info add-metadata --metadata=enable-oslogin=TRUE --project=${project:-}" ;;
    *disableSerialPortLogging*)
        echo 'A policy of your organization forbids the log of the serial console in Cloud Logging. In bake.yaml: gcp.serial_logging: false; then bake render. wait and logs do without it' ;;
    *disableSerialPortAccess*)
        echo 'A policy of your organization forbids access to serial consoles. status and wait do without it; for the log: bake gcloud logs --gateway | sh. If no VM can be made, the metadata of the project asks for that access:'
        echo "  gcloud compute project-info remove-metadata --keys=serial-port-enable --project=${project:-}" ;;
    *disableGuestAttributesAccess*)
        echo 'A policy of your organization forbids guest attributes, by which the VM reports its status: wait, status and update need them. An administrator (roles/orgpolicy.policyAdmin) makes an exception:'
        echo "  gcloud resource-manager org-policies disable-enforce compute.disableGuestAttributesAccess --project=${project:-}" ;;
    *restrictSharedVpc*)
        echo 'A policy of your organization forbids this Shared VPC. Set gcp.network and gcp.subnet in bake.yaml to ones that are allowed' ;;
    *iam.disableServiceAccountCreation*)
        echo 'A policy of your organization forbids new service accounts. Ask for one, and set gcp.service_account in bake.yaml to its id' ;;
    *)
        echo 'A policy of your organization forbids this; its name begins with constraints/ above. Its administrator can make an exception' ;;
    esac
}
