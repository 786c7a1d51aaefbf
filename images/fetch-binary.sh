#!/bin/sh
# Puts one locked binary under /out, or fails: fetch-binary [--beside] NAME BUILD…
# BUILD: ARCH FORMAT URL SHA256 PATH-IN-ARCHIVE BINARY-SHA256 (`-` while that is not known)
set -eu

beside=no
if [ "$1" = --beside ]; then
  beside=yes
  shift
fi
name=$1
shift

# Every failure names the tool: among many stages the builder's own message does not always.
fail() {
  echo "fetch-binary: $name: $1" >&2
  exit 1
}

arch=$(dpkg --print-architecture)
while [ "$#" -ge 6 ] && [ "$1" != "$arch" ]; do shift 6; done
[ "$#" -ge 6 ] || fail "no build for $arch is locked"
format=$2 url=$3 sha256=$4 path=$5 binary_sha256=$6

check() {
  found=$(sha256sum < "$1")
  found=${found%% *}
  [ "$found" = "$2" ] || fail "$url: $3 has SHA-256 $found, and $2 is locked"
}

archive=/tmp/archive
# Plain http passes `bake check` for the loopback interface alone.
case $url in https:*) protocol=https ;; *) protocol=http ;; esac
# A URL may hold brackets, which curl would take for a range; a minute without a byte is a failure.
curl --fail --silent --show-error --globoff --location --proto "=$protocol" --retry 5 \
  --connect-timeout 30 --speed-time 60 --output "$archive" --url "$url" ||
  fail "$url cannot be downloaded"
check "$archive" "$sha256" "the download"

mkdir -p /out/bin
binary=/out/bin/$name
if [ "$beside" = yes ]; then
  folder=/out/lib/$name
  mkdir -p "$folder"
  case $format in
    zip) unzip -q "$archive" -d "$folder" ;;
    *) tar --extract --file "$archive" --directory "$folder" --no-same-owner ;;
  esac || fail "$url cannot be unpacked"
  # The gateway's user reads these files, whatever the publisher's umask was.
  chmod -R u=rwX,go=rX "$folder"
  ln -s "../lib/$name/$path" "$binary"
else
  # The name in a zip is a pattern to unzip, or an option; a tar may hold it with `./` before it,
  # and the name of a folder would stand for all that is in it.
  case $format in
    bare) cat "$archive" ;;
    gz) gzip -dc "$archive" ;;
    zip) unzip -p "$archive" "$(printf %s "$path" | sed 's/[[*?]/[&]/g; s/^-/[-]/')" ;;
    *)
      tar --extract --to-stdout --no-recursion --file "$archive" -- "$path" 2>/dev/null ||
        tar --extract --to-stdout --no-recursion --file "$archive" -- "./$path"
      ;;
  esac > "$binary" || fail "$url: $path cannot be unpacked"
fi
[ -s "$binary" ] || fail "$url holds no file $path"
chmod 0755 "$binary"
[ "$binary_sha256" = - ] || check "$binary" "$binary_sha256" "$path"
rm "$archive"
