# shellcheck shell=bash
# An archive of the gateway's state, made and verified by the gateway itself, below /backups in its
# container. The container can write there, so root neither lists nor deletes anything in it: the
# container's own user does, and keeps the newest `$1`.
running
if ! docker exec "$id" test -w /backups; then
    echo "This VM is older than this bake, and has no folder for archives. Once: bake render && bake gcloud update | sh" >&2
    exit 69
fi
if ! said=$(timeout 1200 docker exec "$id" node dist/index.js backup create --output /backups --verify 2>&1 </dev/null); then
    printf "%s\n" "$said" | tail -n 5 | LC_ALL=C tr -cd "\11\12\40-\176" | cut -c 1-300 >&2
    exit 70
fi
# shellcheck disable=SC2016 # for the container's shell
docker exec "$id" sh -c "cd /backups && ls -1t -- *openclaw-backup.tar.gz | tail -n +$(($1 + 1)) | while IFS= read -r old; do rm -f -- \"\$old\"; done"
