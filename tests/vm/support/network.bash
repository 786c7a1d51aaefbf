# Other machines around this process, which is the VM's host in a network of its own. Each is a namespace with one link.
# shellcheck shell=bash

connect() { # NAMESPACE INTERFACE GATEWAY ADDRESS…
    local address
    ip netns add "$1"
    at_end+=("ip netns del $1")
    ip link add "$2" type veth peer name eth0 netns "$1"
    ip addr add "$3" dev "$2"
    ip link set "$2" up
    ip -n "$1" link set lo up
    ip -n "$1" link set eth0 up
    for address in "${@:4}"; do ip -n "$1" addr add "$address" dev eth0; done
    ip -n "$1" route add default via "${3%/*}"
}

# Serves HTTP in a namespace.
serve() { # NAMESPACE PORT…
    local port
    for port in "${@:2}"; do
        ip netns exec "$1" python3 -m http.server "$port" -d "$work/bin" >/dev/null 2>&1 &
        at_end+=("kill $!")
    done
}

# systemd, as far as metadata-guard.sh uses it for the resolver of `egress: listed`.
stub_names_service() {
    export repo work
    stub systemctl <<'END'
#!/bin/bash
[ "$1 $3" = "--no-block openclaw-names.service" ] || exit 0
echo "$2" >>"$work/systemctl"
pid=$(cat "$work/names.pid" 2>/dev/null)
[ "$2" = restart ] || { [ -n "$pid" ] && readlink "/proc/$pid/exe" && exit 0; } >/dev/null
[ -z "$pid" ] || kill "$pid" 2>/dev/null
sleep 0.3
command=$(sed -n 's/^ExecStart=//p' "$repo/cloud-init/openclaw-names.service")
$command -u root >/dev/null 2>&1 &
echo $! >"$work/names.pid"
END
    at_end+=('kill "$(cat "$work/names.pid" 2>/dev/null)" 2>/dev/null')
}
