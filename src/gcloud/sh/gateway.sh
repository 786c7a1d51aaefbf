# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154
# OpenClaw's own commands in the gateway's container: `vm_session` runs one, and `$terminal` asks ssh
# for a terminal.

# With a terminal where there is one to type on and to show it: without, what the command prints can
# be kept as it is.
run_cli() {
    account=$1 broken='The connection broke. The command in the container may have ended; the gateway is running.'
    # shellcheck disable=SC2034 # vm_session reads it
    terminal=-T
    if [ -t 1 ] && there_is_a_terminal; then
        # shellcheck disable=SC2034
        terminal=-t
        reach /dev/tty
    else
        reach /dev/null
    fi
}

# The reply to one message. An agent's words may hold anything, and go to a terminal.
ask_agent() (
    account=$1 broken='The connection broke. The agent may still be at it: ask again.'
    scratch
    said=$scratch/reply code=0
    reach /dev/null >"$said" || code=$?
    plain <"$said"
    return "$code"
)

# The container's log. Ctrl-C ends it.
follow_log() {
    account=$1 broken='The connection broke. The gateway runs on.'
    reach /dev/null || return
    tell 'The container has stopped, and its log has ended. Why, and whether it is started again:' \
        "  bake gcloud status$fleet | sh"
}

# The gateway's own archive of its state, before a snapshot is taken, which is taken in any case.
# `$archived` says how it went.
archive_state() {
    account=$1 broken='The connection broke.'
    archived=yes
    # In a subshell, so that its variables do not affect the snapshot.
    state=$(scratch && look && printf %s "$state") || state=unknown
    case $state in
    '' | TERMINATED | STOPPED | SUSPENDED)
        tell "$vm does not run: the disk is at rest, and the snapshot holds all of it."
        return 0
        ;;
    esac
    reach /dev/null >&2 || {
        archived=no
        tell 'The gateway made no archive of its state. The snapshot is taken all the same, and is what the disk holds after a loss of power.'
    }
}

# Ends with 1 if there is only the snapshot.
conclude_backup() {
    [ "$archived" = no ] || return 0
    tell 'The snapshot exists, but without a new archive of the gateway: see above. With --snapshot-only, a snapshot alone is not an error.'
    trap - EXIT
    exit 1
}
