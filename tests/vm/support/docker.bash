# The testbed's Docker 26 as `docker`, without what would reach beyond a test's own images: those are
# named openclaw-vmtest. Every call is a line of $work/docker-calls.
# shellcheck shell=bash
testbed=${BAKE_TESTBED:-/var/tmp/bake-testbed}
"$testbed/bin/docker-26" info >/dev/null 2>&1 || skip "no testbed: run tests/testbed/up"
export real_docker=$testbed/bin/docker-26 work
mkdir "$work/docker-root"
: >"$work/docker-calls"
stub docker <<'END'
#!/bin/sh
echo "$*" >>"$work/docker-calls"
case "$*" in
"info -f {{.DockerRootDir}}") echo "$work/docker-root" ;;
"info -f {{.DriverStatus}}") [ ! -e "$work/containerd-store" ] || echo "[[driver-type io.containerd.snapshotter.v1]]" ;;
"ps -aq") cat "$work/containers" 2>/dev/null ;;
"volume ls -q") ;;
*prune*) ;;
login*) cat >"$work/password"; ls -ld "$DOCKER_CONFIG" >"$work/docker-config" ;;
*) exec "$real_docker" "$@" ;;
esac
END
stub systemctl <<'END'
#!/bin/sh
echo "systemctl $*" >>"$work/docker-calls"
END
images() { "$real_docker" images -q "$1"; }
drop_images() {
    "$real_docker" images --digests --format '{{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}}' | grep openclaw-vmtest |
        tr ' ' '\n' | grep -v '<none>' | xargs -r "$real_docker" rmi -f >/dev/null 2>&1 || true
    "$real_docker" image prune -f --filter label=openclaw-vmtest >/dev/null
}
drop_images
at_end+=(drop_images)
