# shellcheck shell=bash
# The container's log, its last `$1` lines first, until the container stops. The container must not control
# the terminal: escape sequences and control characters are removed, line by line.
set -o pipefail
id=$(container -a)
if [ -z "$id" ]; then
    echo "There is no gateway container yet. Why: bake gcloud status | sh" >&2
    exit 69
fi
docker logs --follow --tail "$1" "$id" 2>&1 |
    LC_ALL=C sed -u "s|$(printf "\033")\[[0-?]*[ -/]*[@-~]||g; s|$(printf "\302")[$(printf "\200")-$(printf "\237")]||g; s|[$(printf "\001")-$(printf "\010")$(printf "\013")-$(printf "\037\177")]||g"
