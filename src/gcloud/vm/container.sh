# shellcheck shell=bash
# Run by root on the VM. There is no `$` before a `{` in these files: in JSON that is a name.
set -u

# The gateway's container, by label as converge.sh finds it; `$@` are further options of docker ps.
# shellcheck disable=SC2120,SC2119 # one of the files passes -a
container() {
    docker ps -q "$@" --filter label=com.docker.compose.project=openclaw \
        --filter label=com.docker.compose.service=openclaw-gateway \
        --filter label=com.docker.compose.oneoff=False | head -n 1
}

# Sets `$id`, or ends.
# shellcheck disable=SC2034 # the file after this one reads it
running() {
    # shellcheck disable=SC2119
    id=$(container)
    [ -n "$id" ] && return
    echo "The gateway container is not running. Why: bake gcloud status | sh" >&2
    exit 69
}
