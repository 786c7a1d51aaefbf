#!/bin/sh
# Keeps containers away from the metadata server, which gives the VM's service-account token to any
# client. The same address is the resolver, so port 53 stays open. The host's own traffic does not
# pass through these chains.
set -eu

chain=OPENCLAW-METADATA

guard() { # iptables|ip6tables ADDRESS
    # In one step, so that the chain is never empty.
    "$1-restore" -w 10 --noflush <<END
*filter
:$chain - [0:0]
-A $chain -d $2 -p udp --dport 53 -j RETURN
-A $chain -d $2 -p tcp --dport 53 -j RETURN
-A $chain -d $2 -j REJECT
COMMIT
END
    # Docker keeps an existing DOCKER-USER. FORWARD covers a family of addresses that Docker does not
    # manage.
    "$1" -w 10 -N DOCKER-USER 2>/dev/null || true
    for hook in DOCKER-USER FORWARD; do
        "$1" -w 10 -C "$hook" -j "$chain" 2>/dev/null || "$1" -w 10 -I "$hook" -j "$chain"
    done
}

guard iptables 169.254.169.254
if [ -e /proc/net/if_inet6 ]; then
    guard ip6tables fd20:ce::254
fi
