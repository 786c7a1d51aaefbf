# shellcheck shell=sh
# What a run that fails in the middle leaves is named, so that nobody has to guess.
stands=
made() {
    stands="$stands
  $1"
}
ended() {
    code=$?
    [ "$code" = 0 ] && return
    if [ -n "$stands" ]; then
        echo "Not finished. This stands: $stands" >&2
    else
        echo 'Not finished; nothing was changed that stays unfinished.' >&2
    fi
    echo 'Nothing is lost. Once the cause is mended, run it again: it goes on from there.' >&2
}
trap ended EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
