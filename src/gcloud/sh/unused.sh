# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154
# Finds resources of `setup` that no other VM or account uses. `own_…`, `…_users` and `bound_…` are gcloud's commands.

# Prints the resource `$1` of the kind `$2`, unless the command `$3` prints users of it.
unused() {
    [ -n "$1" ] || return 0
    others=$(ask "$3") || return
    if [ -z "$others" ]; then
        echo "$1"
    else
        echo "  = $2 $1, which others use: $(printf %s "$others" | tr '\n' ' ')" >&2
    fi
}

# Sets the names of the steps that follow.
find_unused() {
    rule=$(ask own_rule)
    unused_rule=$(unused "$rule" 'firewall rule' rule_users)
    router=$(ask own_router)
    unused_router=$(unused "$router" 'router, with Cloud NAT,' router_users)
    [ -z "$router" ] || add_rows nat "$region $router"
    address=$(ask own_account)
    unused_account=$(unused "$address" 'service account' account_users)
    unused_secrets='' bound_secrets='' bound_repository=''
    if [ -n "$keeps_secrets" ]; then
        secrets=$(ask own_secrets)
        add_rows secret "$secrets"
        for each in $secrets; do
            free=$(unused "$each" secret secret_users)
            unused_secrets="$unused_secrets $free"
        done
    fi
    [ -n "$unused_account" ] || return 0
    if [ -n "$keeps_secrets" ]; then
        secrets=$(ask spec_secrets)
        for each in $secrets; do
            role=$(ask bound_secret)
            [ -z "$role" ] || bound_secrets="$bound_secrets $each"
        done
    fi
    [ -n "$repository" ] || return 0
    role=$(ask bound_role)
    [ -z "$role" ] || bound_repository=$repository
}

# Finds what has the names of this gateway and no sign of this project, as from an older bake, and data disks in other
# zones, as after a move. All of it stays.
find_older() {
    older=''
    disks=$(ask disks_elsewhere)
    unsigned=$(ask older_disks)
    for disks in "$disks" "$unsigned"; do
        add_rows disk "$disks"
        add_older "$(printf '%s' "$disks" | awk 'NF { print "compute disks delete " $2 " --zone=" $1 }')"
    done
    found=$(ask older_schedule)
    add_older "${found:+compute resource-policies delete $found --region=$region}"
    found=$(ask older_rule)
    add_older "${found:+compute firewall-rules delete $found}"
    found=$(ask older_router)
    [ -z "$found" ] || add_rows nat "$region $found"
    add_older "${found:+compute routers delete $found --region=$region}"
    found=$(ask older_account)
    add_older "${found:+iam service-accounts delete $found}"
}

# Adds commands of gcloud, one a line.
add_older() {
    [ -z "$1" ] || older="$older$(printf '%s' "$1" | sed "s|^|  gcloud |; s|\$| --project=$project|")
"
}

# Names what `find_older` has found.
tell_older() {
    [ -z "$older" ] || printf '%s\n%s' \
        'Left alone, because it is in another zone or does not carry the labels of this project; an older bake may have made it. Look at each, and delete it if it is of this gateway:' \
        "$older"
}

# Deletes the secret `$1`, if its name is typed on the terminal.
delete_secret() {
    typed=''
    if (: </dev/tty) 2>/dev/null; then
        printf 'The secret %s and its values will be deleted, and cannot be brought back. A data disk that stays may need it. Type %s to delete it, or press Enter to keep it:  ' "$1" "$1" >/dev/tty
        IFS= read -r typed </dev/tty || true
    else
        echo "There is no terminal to ask on about the secret $1."
    fi
    if [ "$typed" = "$1" ]; then
        run delete
    else
        # Nothing was changed.
        doing=''
        echo "The secret $1 stays, and costs about $secret_price USD a month, or nothing if it is one of the first six."
    fi
}
