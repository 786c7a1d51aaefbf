#!/bin/sh
# Installs bake @VERSION@: downloads the archive for this machine, compares it with the checksum below, and copies the
# program, its completions and its manual pages into ~/.local. It needs no root and changes nothing else.
set -eu

version=@VERSION@
# A mirror, such as the folder of a release in a closed network. The checksums below apply to it too.
downloads=${BAKE_INSTALL_URL:-@DOWNLOADS@}

usage() {
    cat <<END
Installs bake $version.

Usage: sh install.sh [--to FOLDER] [--uninstall]

  --to FOLDER   Install to FOLDER/bin and FOLDER/share, instead of ~/.local
  --uninstall   Remove the files that this script has installed there
  --help        Print this text

BAKE_INSTALL_URL names a folder on another server to download the archive from.
END
}

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

checksum_for() {
    case $1 in
    aarch64-apple-darwin) echo @SHA256:aarch64-apple-darwin@ ;;
    aarch64-unknown-linux-gnu) echo @SHA256:aarch64-unknown-linux-gnu@ ;;
    x86_64-apple-darwin) echo @SHA256:x86_64-apple-darwin@ ;;
    x86_64-unknown-linux-gnu) echo @SHA256:x86_64-unknown-linux-gnu@ ;;
    esac
}

target() {
    case $(uname -m) in
    x86_64 | amd64) arch=x86_64 ;;
    aarch64 | arm64) arch=aarch64 ;;
    *) fail "there is no build for $(uname -m): build bake from source" ;;
    esac
    case $(uname -s) in
    Linux) echo "$arch-unknown-linux-gnu" ;;
    Darwin) echo "$arch-apple-darwin" ;;
    *) fail "there is no build for $(uname -s): build bake from source" ;;
    esac
}

download() { # URL FILE
    if command -v curl >/dev/null; then
        curl -fsSL --retry 3 -o "$2" "$1"
    elif command -v wget >/dev/null; then
        wget -q -O "$2" "$1"
    else
        fail "neither curl nor wget is installed"
    fi
}

sha256() {
    if command -v sha256sum >/dev/null; then
        sha256sum "$1" | cut -d ' ' -f 1
    elif command -v shasum >/dev/null; then
        shasum -a 256 "$1" | cut -d ' ' -f 1
    else
        fail "neither sha256sum nor shasum is installed"
    fi
}

# Each file in the unpacked archive $1 and where it goes.
files() {
    cat <<END
bake bin/bake
completions/bake.bash share/bash-completion/completions/bake
completions/_bake share/zsh/site-functions/_bake
completions/bake.fish share/fish/vendor_completions.d/bake.fish
LICENSE share/doc/bake/LICENSE
END
    for page in "$1"/man/*.1; do
        echo "man/${page##*/} share/man/man1/${page##*/}"
    done
}

# Removes the files in the list $1 that are not in the list $2.
remove_except() {
    while read -r path; do
        case $path in
        # From the record of another release, or of another program.
        /* | *..*) ;;
        *) grep -qxF -- "$path" "$2" || rm -f "$to/$path" "$to/$path.new" ;;
        esac
    done <"$1"
}

install_release() {
    if [ -e "$to/bin/bake" ] && [ ! -e "$record" ]; then
        fail "$to/bin/bake was not installed by this script: remove it, or choose another folder with --to"
    fi
    name=bake-$version-$(target)
    expected=$(checksum_for "$(target)")
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM HUP
    download "$downloads/$name.tar.gz" "$work/archive" || fail "$downloads/$name.tar.gz could not be downloaded"
    found=$(sha256 "$work/archive")
    if [ "$found" != "$expected" ]; then
        fail "$downloads/$name.tar.gz is not the release: its SHA-256 is $found, expected $expected. Nothing was installed"
    fi
    tar -xzf "$work/archive" -C "$work"
    "$work/$name/bake" --version >/dev/null || fail "this machine cannot run the program. Nothing was installed"

    mkdir -p "$(dirname "$record")"
    files "$work/$name" >"$work/files"
    cut -d ' ' -f 2 "$work/files" >"$work/paths"
    # Recorded first, with the files of the release before, so that an interrupted run can be removed.
    [ -e "$record" ] || : >"$record"
    cp "$record" "$work/before"
    sort -u "$work/before" "$work/paths" >"$record.new"
    mv -f "$record.new" "$record"
    while read -r from path; do
        mkdir -p "$to/$(dirname "$path")"
        # A running program cannot be overwritten, but renamed over.
        cp "$work/$name/$from" "$to/$path.new"
        mv -f "$to/$path.new" "$to/$path"
    done <"$work/files"
    remove_except "$work/before" "$work/paths"
    sort "$work/paths" >"$record.new"
    mv -f "$record.new" "$record"
    echo "Installed bake $version to $to/bin/bake."
    case ":$PATH:" in
    *":$to/bin:"*) echo "Next: bake init my-gateway" ;;
    *) echo "Next: add $to/bin to your PATH, then run: bake init my-gateway" ;;
    esac
}

uninstall() {
    if [ ! -e "$record" ]; then
        echo "This script has installed nothing in $to."
        return
    fi
    remove_except "$record" /dev/null
    rm -f "$record" "$record.new"
    rmdir "$to/share/bake" "$to/share/doc/bake" 2>/dev/null || :
    echo "Removed bake from $to. Projects and the cache (~/.cache/bake) stay."
}

main() {
    case $version in
    @*) fail "this is a template: each release has its install.sh" ;;
    esac
    to=${HOME:?}/.local action=install_release
    while [ $# -gt 0 ]; do
        case $1 in
        --to)
            [ $# -gt 1 ] || fail "--to needs a folder"
            to=$2
            shift
            ;;
        --uninstall) action=uninstall ;;
        --help | -h) usage && return ;;
        *) fail "unknown argument $1: see --help" ;;
        esac
        shift
    done
    case $to in
    /*) ;;
    *) to=$PWD/$to ;;
    esac
    record=$to/share/bake/installed
    $action
}

# A script that was cut off runs nothing.
main "$@"
