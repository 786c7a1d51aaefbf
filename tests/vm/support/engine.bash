# A daemon of the test's own in its network, of Docker $1: 20, 26 or 28. `docker` is its client; that of 20 is of 26,
# which has Compose.
# shellcheck shell=bash
testbed=${BAKE_TESTBED:-/var/tmp/bake-testbed}
engine=$1
[ -e "$testbed/docker-28/made" ] || skip "no testbed: run tests/testbed/up"
case $engine in
20) daemon_usr=/usr usr=$testbed/debian-13/usr ;;
26) daemon_usr=$testbed/debian-13/usr usr=$daemon_usr ;;
28) daemon_usr=$testbed/docker-28/usr usr=$daemon_usr ;;
esac
export usr DOCKER_HOST=unix:///run/docker.sock
docker_root=$(mktemp -d -p "$testbed" engine-XXXXXX)
dockerd=''
stub docker <<'END'
#!/bin/sh
exec unshare -m --propagation slave sh -c 'mount --bind "$usr" /usr && exec /usr/bin/docker "$@"' docker "$@"
END
start_docker() {
    # shellcheck disable=SC2016 # for the inner shell
    unshare -m --propagation slave sh -c 'mount --bind "$0" /usr && PATH=/usr/sbin:/usr/bin exec dockerd "$@"' "$daemon_usr" \
        --data-root "$docker_root" --exec-root /run/docker-exec --pidfile /run/docker.pid -H "$DOCKER_HOST" \
        --exec-opt native.cgroupdriver=cgroupfs >>"$work/dockerd.log" 2>&1 &
    dockerd=$!
    for _ in {1..150}; do
        docker info >/dev/null 2>&1 && break
        kill -0 "$dockerd" || fail "Docker $engine starts" "$(tail -n 5 "$work/dockerd.log")"
        /bin/sleep 0.2
    done
}
stop_docker() {
    kill "$dockerd" 2>/dev/null || return 0
    wait "$dockerd" || true
}
remove_docker() {
    docker ps -aq | xargs -r docker rm -f -v
    docker volume ls -q | xargs -r docker volume rm -f
    stop_docker
    umount "$docker_root"/*/* "$docker_root"/*
    rm -rf --one-file-system "$docker_root"
} >/dev/null 2>&1
at_end=(remove_docker ${at_end[@]+"${at_end[@]}"})
