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
    address=$(ask own_account)
    unused_account=$(unused "$address" 'service account' account_users)
    unused_secrets='' bound_secrets='' bound_repository=''
    if [ -n "$keeps_secrets" ]; then
        secrets=$(ask own_secrets)
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
    fi
}

# Names what is left, and its price.
tell_costs() {
    disks=$(ask left_disks)
    snapshots=$(ask left_snapshots)
    secrets=''
    [ -z "$keeps_secrets" ] || secrets=$(ask own_secrets)
    router=$(ask own_router)
    echo 'The remaining resources cost per month:'
    printf '%s\n' "$disks" | LC_ALL=C awk -v price="$price" 'NF { printf "  data disk %s, %d GB: about %.2f USD\n", $1, $2, $2 * price }'
    printf '%s\n' "$snapshots" | LC_ALL=C awk 'NF { count++; bytes += $2 } END { if (count) printf "  %d snapshots: about %.2f USD\n", count, bytes / 1e9 * 0.05 }'
    for each in $secrets; do
        echo "  secret $each: about 0.06 USD, or none for the first six"
    done
    [ -z "$router" ] || echo "  Cloud NAT $router: about 5 USD"
    echo '  the APIs that are enabled: nothing'
    [ -z "$disks" ] || echo 'To delete data disks and snapshots too: bake gcloud destroy --all --data | sh'
}
