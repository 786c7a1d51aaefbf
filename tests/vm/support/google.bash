# Starts google.py; its folder is $google.
# shellcheck shell=bash
google=$work/google
mkdir -p "$google/secrets" "$google/attributes"
python3 "$repo/tests/vm/support/google.py" "$google" &
google_pid=$!
at_end+=("kill $google_pid")
until [ -e "$google/port" ]; do sleep 0.1; done
base=http://127.0.0.1:$(cat "$google/port")
export OPENCLAW_METADATA_URL=$base OPENCLAW_SECRET_MANAGER_URL=$base
