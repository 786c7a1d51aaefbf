# shellcheck shell=bash
# Run by root in the VM of a rehearsal: sends the question to the gateway's agent once the gateway is
# ready, and reports what came back as guest attributes, the exit code last.
set -u
folder=/run/openclaw-rehearsal
url=${OPENCLAW_METADATA_URL:-http://metadata.google.internal}/computeMetadata/v1/instance/guest-attributes/openclaw-rehearsal

put() {
    head -c 65536 | curl -fsS -o /dev/null --noproxy '*' -m 30 --retry 5 -H 'Metadata-Flavor: Google' -X PUT --data-binary @- "$url/$1"
}

until [ "$(cat /run/openclaw/report/status 2>/dev/null)" = ready ]; do
    sleep 2
done
container=$(docker ps -q --filter label=com.docker.compose.project=openclaw \
    --filter label=com.docker.compose.service=openclaw-gateway \
    --filter label=com.docker.compose.oneoff=False | head -n 1)
code=0
timeout 900 docker exec "$container" node dist/index.js agent --agent main --message "$(cat "$folder/question")" \
    </dev/null >"$folder/reply" 2>"$folder/error" || code=$?
# A server may take no value of no length.
[ ! -s "$folder/reply" ] || put reply <"$folder/reply"
[ ! -s "$folder/error" ] || tail -n 5 "$folder/error" | put error
printf %s "$code" | put code
