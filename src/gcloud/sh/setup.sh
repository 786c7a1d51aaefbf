# shellcheck shell=sh
# The code of `setup` around its commands. The value of a secret is never an argument, a file or an output: it
# passes through a pipe from the shell itself, whose printf is built in.

# Exported variables of these names would pass their values to every program.
unset -v value typed

# Ends if the project has no billing account; continues if that is unknown.
billed() {
    if account=$(look_at_billing 2>/dev/null </dev/null); then
        [ -n "$account" ] && return
        echo "Billing is off for ${project:?}, and nothing can be made without it. Link an account to the project:" >&2
        echo "  gcloud billing accounts list" >&2
        echo "  gcloud billing projects link $project --billing-account=ID" >&2
        exit 1
    fi
    echo "Whether billing is on for $project could not be seen; it must be." >&2
}

# Binds a role to a service account, which after it was made is not known everywhere for a minute.
bound() {
    left=24
    while [ "$left" -gt 0 ]; do
        said=$(bind 2>&1 >/dev/null </dev/null) && return
        case $said in *'does not exist'*) ;; *) break ;; esac
        sleep 5
        left=$((left - 1))
    done
    run bind
}

# Warns about roles of the account `$1` in the whole project; continues if they are unknown.
warned_of_roles() {
    roles=$(look_at_roles 2>/dev/null </dev/null) || return 0
    [ -n "$roles" ] || return 0
    printf '%s\n' "$1 has roles in the whole project, and so has every program on the VM: $(printf %s "$roles" | tr '\n' ' ')" \
        'The VM needs none of them. To take one away:' \
        "  gcloud projects remove-iam-policy-binding $project --member=serviceAccount:$1 --role=ROLE" >&2
}

# Gives the secret 256 bits in hexadecimal.
made_up() {
    value=$(openssl rand -hex 32)
    [ "${#value}" = 64 ] || { echo 'openssl rand gave no 64 digits' >&2; exit 1; }
    give
}

# Gives the secret what is typed: on the terminal, since standard input may be the script itself. Takes
# the secret and the variable that it is for.
typed() {
    if ! (: </dev/tty) 2>/dev/null; then
        echo "There is no terminal to ask for the value of $1 on. From a file: bake gcloud setup --secret-file $1=FILE | sh" >&2
        exit 1
    fi
    value=$(
        shown=$(stty -g </dev/tty)
        trap 'stty "$shown" </dev/tty; echo >/dev/tty' EXIT
        trap 'exit 130' HUP INT TERM
        stty -echo </dev/tty
        # Input is hidden from the start.
        printf 'The value of %s, kept as the secret %s; it is not shown: ' "$2" "$1" >/dev/tty
        IFS= read -r typed </dev/tty || true
        printf %s "$typed"
    )
    [ -n "$value" ] || { echo "Nothing was typed; $1 has no value yet." >&2; exit 1; }
    give
}

give() {
    printf %s "$value" | tried add
    value=
}
