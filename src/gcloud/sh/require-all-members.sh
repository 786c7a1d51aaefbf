# shellcheck shell=sh
# shellcheck disable=SC2154
# Ends with an error where the group has members that were not named.
require_all_members() {
    others=$(ask other_members)
    [ -n "$others" ] || return 0
    refuse "The group $group has more members, which would go with it: $(printf %s "$others" | tr '\n' ' ')" \
        'Name all of them with --fleet. To take one out alone, whose data disk stays:' \
        "  gcloud compute instance-groups managed delete-instances $group --project=$project --zone=$zone --instances=MEMBER"
}
