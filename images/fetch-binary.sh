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
arch=$(dpkg --print-architecture)
while [ "$#" -ge 6 ] && [ "$1" != "$arch" ]; do shift 6; done
if [ "$#" -lt 6 ]; then
  echo "fetch-binary: $name has no build for $arch" >&2
  exit 1
fi
format=$2 url=$3 sha256=$4 path=$5 binary_sha256=$6

check() {
  found=$(sha256sum < "$1")
  found=${found%% *}
  [ "$found" = "$2" ] && return
  echo "fetch-binary: $name: $url: $3 has SHA-256 $found, and $2 is locked" >&2
  exit 1
}

archive=/tmp/archive
# Plain http passes `bake check` for the loopback interface alone.
case $url in https:*) protocol=https ;; *) protocol=http ;; esac
curl --fail --silent --show-error --location --proto "=$protocol" --retry 5 --connect-timeout 30 \
  --output "$archive" --url "$url"
check "$archive" "$sha256" "the download"

mkdir -p /out/bin
binary=/out/bin/$name
if [ "$beside" = yes ]; then
  folder=/out/lib/$name
  mkdir -p "$folder"
  case $format in
    zip) unzip -q "$archive" -d "$folder" ;;
    *) tar --extract --auto-compress --file "$archive" --directory "$folder" --no-same-owner ;;
  esac
  ln -s "../lib/$name/$path" "$binary"
  chmod 0755 "$folder/$path"
else
  # The name in a zip is a pattern to unzip; a tar may hold it with `./` before it.
  case $format in
    tar.gz) unpack=gzip ;; tar.xz) unpack=xz ;; tar.bz2) unpack=bzip2 ;; tar.zst) unpack=zstd ;; *) unpack= ;;
  esac
  case $format in
    bare) cp "$archive" "$binary" ;;
    gz) gzip -dc "$archive" > "$binary" ;;
    zip) unzip -p "$archive" "$(printf %s "$path" | sed "s/[][*?]/[&]/g")" > "$binary" ;;
    *)
      tar --extract --to-stdout --use-compress-program="$unpack" --file "$archive" -- "$path" > "$binary" 2>/dev/null ||
        tar --extract --to-stdout --use-compress-program="$unpack" --file "$archive" -- "./$path" > "$binary"
      ;;
  esac
  chmod 0755 "$binary"
fi
if [ ! -s "$binary" ]; then
  echo "fetch-binary: $name: $url holds no file $path" >&2
  exit 1
fi
[ "$binary_sha256" = - ] || check "$binary" "$binary_sha256" "$path"
rm "$archive"
