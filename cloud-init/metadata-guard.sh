#!/bin/sh
# Limits containers to the internet: they reach neither the metadata server, which gives the VM's service-account
# token to any client, nor private networks, other containers or the VM's own ports, and no packet from outside
# reaches them. The host's own traffic does not pass through these chains. With `egress: listed` the gateway reaches
# the listed hosts only: dnsmasq resolves no other name, and puts the addresses of these into sets of the firewall.
set -eu

forward=OPENCLAW-FORWARD
input=OPENCLAW-INPUT

# The special-purpose registries of IANA, without the networks for documentation. Compute Engine uses 240.0.0.0/4 too.
private4='0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.168.0.0/16
    198.18.0.0/15 224.0.0.0/4 240.0.0.0/4'
private6='fc00::/7 fe80::/10 fec0::/10 ff00::/8 64:ff9b:1::/48'
# NAT64 translates these (RFC 6052).
for network in $private4; do
    private6="$private6 64:ff9b::${network%/*}/$((96 + ${network#*/}))"
done

OPENCLAW_ALLOW='' OPENCLAW_EGRESS=all OPENCLAW_NAMES=''
settings=/opt/openclaw/settings.env
# shellcheck source=/dev/null
[ ! -e "$settings" ] || . "$settings"

# The servers that the containers' resolver asks, on a VM with systemd-resolved too.
resolvers=$(cat /etc/resolv.conf /run/systemd/resolve/resolv.conf 2>/dev/null | sed -n 's/^nameserver[[:space:]]*\([0-9A-Fa-f.:]*\).*/\1/p' | sort -u)

# Only the gateway's network is listed: the steps of an image's build run on Docker's own bridge.
resolver_address=169.254.53.53
building='' ports=''
if [ "$OPENCLAW_EGRESS" = listed ]; then
    building='-i docker0'
    ports=$(printf '%s\n' "$OPENCLAW_NAMES" | tr ' ' '\n' | sed -n 's/.*,//p' | sort -u)
fi

# Everything but containers: network cards and VPNs. A `+` stands for any ending.
outside='lo en+ eth+ tailscale+ tun+ wg+'
for device in /sys/class/net/*/device; do
    [ ! -e "$device" ] || outside="$outside $(basename "${device%/device}")"
done

is_of() { # TABLES NETWORK
    case $2 in
    *:*) [ "$1" = ip6tables ] ;;
    *) [ "$1" = iptables ] ;;
    esac
}

allow() { # TABLES NETWORK PORT [SOURCE]
    is_of "$1" "$2" || return 0
    if [ -z "$3" ]; then
        echo "-A $forward -d $2 -j RETURN"
        return
    fi
    for protocol in udp tcp; do
        echo "-A $forward ${4-} -d $2 -p $protocol --dport $3 -j RETURN"
    done
}

# The rules for packets from and to containers.
forwarded() { # TABLES METADATA-SERVER PRIVATE-NETWORKS
    allow "$1" "$2" 53 "$building"
    echo "-A $forward -d $2 -j REJECT"
    echo "-A $forward -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"
    for interface in $outside; do
        echo "-A $forward -i $interface -j REJECT"
    done
    for resolver in $resolvers; do
        allow "$1" "$resolver" 53 "$building"
    done
    for allowed in $OPENCLAW_ALLOW; do
        allow "$1" "${allowed%,*}" "${allowed#*,}"
    done
    for network in $3; do
        echo "-A $forward -d $network -j REJECT"
    done
    [ -n "$building" ] || return 0
    # dnsmasq gives IPv4 addresses only.
    if [ "$1" = iptables ]; then
        for port in $ports; do
            echo "-A $forward -p tcp --dport $port -m set --match-set openclaw-$port dst -j RETURN"
        done
    fi
    echo "-A $forward ! $building -j REJECT"
}

# The rules for packets to the VM itself.
entering() { # TABLES
    for interface in $outside; do
        echo "-A $input -i $interface -j RETURN"
    done
    echo "-A $input -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"
    if [ -n "$building" ] && [ "$1" = iptables ]; then
        for protocol in udp tcp; do
            echo "-A $input -d $resolver_address -p $protocol --dport 53 -j RETURN"
        done
    fi
    # Neighbour discovery (RFC 4861).
    [ "$1" = iptables ] || echo "-A $input -p ipv6-icmp -j RETURN"
    echo "-A $input -j REJECT"
}

hook() { # TABLES CHAIN OURS
    "$1" -w 10 -C "$2" -j "$3" 2>/dev/null || "$1" -w 10 -I "$2" -j "$3"
}

# Containers have the MTU of a default VPC, 1460. This VM's may have less, down to 1300, and not every host on the way
# says so: connections then stop at the first full packet.
clamp() { # TABLES
    clamped='FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu'
    # shellcheck disable=SC2086 # a list
    "$1" -w 10 -t mangle -C $clamped 2>/dev/null || "$1" -w 10 -t mangle -A $clamped ||
        echo "the MTU of this VM's network may be too small for containers: TCPMSS is missing" >&2
}

guard() { # TABLES METADATA-SERVER PRIVATE-NETWORKS
    # In one step, so that the chains are never empty.
    {
        printf '*filter\n:%s - [0:0]\n:%s - [0:0]\n' "$forward" "$input"
        forwarded "$@"
        entering "$1"
        echo COMMIT
    } | "$1-restore" -w 10 --noflush
    # Docker keeps an existing DOCKER-USER. FORWARD covers a family of addresses that Docker does not manage.
    "$1" -w 10 -N DOCKER-USER 2>/dev/null || true
    hook "$1" DOCKER-USER "$forward"
    hook "$1" FORWARD "$forward"
    hook "$1" INPUT "$input"
}

# Without a cache, each answer renews its addresses. A name covers its subdomains.
resolver_config() {
    printf '%s\n' "listen-address=$resolver_address" bind-interfaces no-resolv no-hosts cache-size=0 filter-AAAA 'address=/#/'
    for name in $(printf '%s\n' "$OPENCLAW_NAMES" | tr ' ' '\n' | sed 's/,.*//' | sort -u); do
        for resolver in $upstream; do
            echo "server=/$name/$resolver"
        done
        sets=$(printf '%s\n' "$OPENCLAW_NAMES" | tr ' ' '\n' | sed -n "s/^$name,/openclaw-/p" | paste -sd , -)
        echo "ipset=/$name/$sets"
    done
}

# Before the packages are installed nothing is listed, and the gateway reaches nothing.
list_names() {
    if ! command -v ipset >/dev/null || ! command -v dnsmasq >/dev/null; then
        ports=''
        return 0
    fi
    for port in $ports; do
        ipset -exist create "openclaw-$port" hash:ip timeout 3600
    done
    ip address replace "$resolver_address/32" dev lo
    # Not systemd-resolved's address on the loopback interface: its servers. They are of IPv4 on Compute Engine.
    upstream=$(printf '%s\n' "$resolvers" | grep -v -e : -e '^127\.' || echo 169.254.169.254)
    config=/run/openclaw-names.conf
    action=start
    if [ "$(cat "$config" 2>/dev/null)" != "$(resolver_config)" ]; then
        resolver_config >"$config"
        action=restart
    fi
    systemctl --no-block "$action" openclaw-names.service
}

[ -z "$building" ] || list_names
guard iptables 169.254.169.254 "$private4"
clamp iptables
if [ -e /proc/net/if_inet6 ]; then
    guard ip6tables fd20:ce::254 "$private6"
    clamp ip6tables
fi
