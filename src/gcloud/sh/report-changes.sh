# shellcheck shell=sh
# The plan, and what a run that fails has changed. `main` announces each change by `change`: first while
# the plan is printed, then as it is made.
planning='' planned='' only_plan='' made='' doing='' left='' refused=''

# Prints the line `$1` of the plan and fails, or, once the plan is carried out, succeeds.
change() {
    if [ -n "$planning" ]; then
        printf '  %s\n' "$1"
        planned="$planned$1
"
        return 1
    fi
    doing=$1
}

# The change is made, unless a person declined it.
changed() {
    [ -n "$doing" ] || return 0
    made="$made
  $doing"
    doing=''
}

# Has a failure say this, which names the command that puts things right.
leaves() {
    left=$1
}

# Looks something up. While the plan is printed, what cannot be looked at yet, such as a secret before its
# API is on, counts as missing.
ask_ahead() {
    if [ -n "$planning" ]; then
        "$@" 2>/dev/null </dev/null || :
    else
        ask "$@"
    fi
}

carrying_out() {
    [ -z "$planning" ]
}

# Ends the script with these lines, before anything is changed.
refuse() {
    refused=yes
    printf '%s\n' "$@" >&2
    exit 1
}

look_and_plan() {
    require_first
    echo 'Plan:'
    planning=yes
    main
    planning=''
    show_effects
}

carry_out() {
    look_and_plan
    main
}

# Exits with 0 where there is nothing to change, 1 where there is, 2 where that could not be seen.
show_plan() {
    only_plan=yes
    look_and_plan
    [ -z "$planned" ] || {
        refused=yes
        exit 1
    }
}

# shellcheck disable=SC2317 # the trap calls it
ended() {
    code=$?
    [ "$code" = 0 ] && return
    if [ -z "$made$doing" ]; then
        if [ -z "$only_plan" ]; then
            echo 'Nothing was changed.' >&2
        elif [ -z "$refused" ]; then
            exit 2
        fi
        return
    fi
    {
        echo 'Not finished.'
        [ -z "$made" ] || printf 'Done:%s\n' "$made"
        [ -z "$doing" ] || printf 'Failed, and may have taken effect all the same:\n  %s\n' "$doing"
        [ -z "$left" ] || printf '%s\n' "$left"
        echo 'Once the cause is removed, run it again: it checks the current state, and continues from there.'
    } >&2
}
trap ended EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
