# shellcheck shell=sh
# shellcheck disable=SC2154
# The checks of `doctor`. Each prints what there is, or the command that adds what is missing. `look` is the
# command of gcloud that a check needs.

missing=0 unknown=0 disabled=

present() {
    printf 'ok       %s\n' "$1"
}

# `$1` is missing; the other arguments are the commands that mend it.
absent() {
    missing=$((missing + 1))
    printf 'missing  %s\n' "$1"
    shift
    printf '         %s\n' "$@"
}

# A lookup that failed proves nothing; gcloud's error is on standard error.
not_seen() {
    unknown=$((unknown + 1))
    printf 'unknown  %s: gcloud could not look it up\n' "$1"
}

# Checks that `look` prints something. Takes what that is, and the commands that mend it.
require_output() {
    if ! seen=$(ask look); then
        not_seen "$1"
    elif [ -n "$seen" ]; then
        present "$1: $(printf %s "$seen" | tr '\n' ' ')"
    else
        absent "$@"
    fi
}

# The same for a resource of the API `$1`: a lookup would only fail while the API is disabled.
require_of_api() {
    case " $disabled " in
    *" $1 "*)
        shift
        absent "$@"
        ;;
    *)
        shift
        require_output "$@"
        ;;
    esac
}

# The same for the account, which later checks need.
require_account() {
    require_output "$@"
    account=$seen
}

# Checks that `look` lists each of the APIs `$needed`.
require_apis() {
    if ! seen=$(ask look); then
        not_seen "APIs"
        return
    fi
    for api in $needed; do
        case " $(printf %s "$seen" | tr '\n' ' ') " in
        *" $api "*) present "API $api" ;;
        *)
            disabled="$disabled $api"
            absent "API $api" "gcloud services enable $api --project=${project:?}"
            ;;
        esac
    done
}

# Shows which roles the account has in the project. `look` prints a member and its role on each line; roles of a
# group, a folder or an organization are not among them.
show_roles() {
    [ -n "$account" ] || return 0
    if ! seen=$(ask look); then
        not_seen "roles of $account"
        return
    fi
    roles=
    while IFS='	' read -r member role; do
        if [ "${member#*:}" = "$account" ]; then
            roles="$roles $role"
        fi
    done <<END
$seen
END
    if [ -n "$roles" ]; then
        present "roles of $account:$roles"
        return
    fi
    case $account in
    *.gserviceaccount.com) member=serviceAccount:$account ;;
    *) member=user:$account ;;
    esac
    printf '%s\n' "note     roles of $account: none by its own name; a group, a folder or an organization may grant some. An owner of the project grants all that bake needs by:" \
        "         gcloud projects add-iam-policy-binding $project --member=$member --role=roles/owner"
}

conclude_checks() {
    [ "$missing" = 0 ] || exit 1
    [ "$unknown" = 0 ] || exit 2
    echo 'Nothing is missing. Next: bake gcloud create | sh'
}
