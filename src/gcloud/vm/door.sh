# shellcheck shell=bash
# Lets a browser in whose address has port `$1`; with `$2` = link also prints the gateway's one-time
# link, which is good for ten minutes. Then waits until the connection ends.
allow=/usr/local/lib/openclaw/allow-origin
if [ ! -x "$allow" ]; then
    echo "This VM is older than this bake, and lets browsers in on its own port only. If the page is refused: bake render && bake gcloud update | sh" >&2
elif ! "$allow" "$1" >/dev/null; then
    echo "The gateway was not told of port $1, and may refuse the page." >&2
fi
if [ "$2" = link ]; then
    running
    docker exec "$id" node dist/index.js dashboard --json </dev/null | tr -d "\n" | cut -c 1-4096
fi
exec cat >/dev/null
