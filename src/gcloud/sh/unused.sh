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
