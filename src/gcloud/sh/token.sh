# shellcheck shell=sh
# A secret of Secret Manager. `secret_value` is gcloud's command.

# An exported variable of this name would pass its value to other programs.
unset -v secret

print_secret() {
    # Through no argument: this is the shell's own printf.
    secret=$(ask secret_value) || {
        echo 'Setting up creates the secret where it is missing: bake gcloud setup | sh' >&2
        return 1
    }
    printf '%s\n' "$secret"
}
