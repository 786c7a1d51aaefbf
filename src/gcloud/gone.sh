# shellcheck shell=sh
# What a deletion that fails in the middle has deleted is named; all else stands.
gone=
deleted() {
    gone="$gone
  $1"
}
ended() {
    code=$?
    [ "$code" = 0 ] && return
    if [ -z "$gone" ]; then
        echo 'Nothing was deleted.' >&2
        return
    fi
    echo "Not finished. This is deleted, and all else stands: $gone" >&2
    echo 'Once the cause is mended, run it again: it goes on from there.' >&2
}
trap ended EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
