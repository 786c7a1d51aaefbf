# shellcheck shell=sh
# A secret of Secret Manager. `secret_value` is gcloud's command.

# A variable of this name that somebody has exported would hand on to programs what it holds.
unset -v secret

print_secret() {
    # Through no argument: this is the shell's own printf.
    secret=$(ask secret_value) || {
        echo 'Setting up creates the secret where it is missing: bake gcloud setup | sh' >&2
        return 1
    }
    printf '%s\n' "$secret"
}
