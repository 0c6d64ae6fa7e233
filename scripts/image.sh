#!/bin/bash
# Builds dist/image.tar: the container image of dist/proxy as an OCI archive, for `ctr images import`.
#   scripts/image.sh [NAME]      name and tag of the image; default: localhost/proxy:VERSION
# The image has the program, the C library that it is linked with and the certificates of public authorities.
# It has no shell. The same inputs give the same digest, which dist/image.digest holds. Does nothing when the
# image is up to date.
set -euo pipefail
cd "$(dirname "$0")/.."

main() {
  local version name library key
  version=$(sed -nE 's/^  "version": "(.*)",$/\1/p' deno.json)
  name=${1:-localhost/proxy:$version}
  command -v umoci >/dev/null || fail "umoci not found: apt-get install umoci, or run scripts/setup.sh cluster"
  [ -x dist/proxy ] || fail "dist/proxy not found: run scripts/build.sh"

  key=$({ echo "$name" && cat scripts/image.sh && { echo dist/proxy && libraries; } | xargs sha256sum; } | sha256sum)
  if [ -e dist/image.tar ] && [ "$(cat dist/image.key 2>/dev/null)" = "$key" ]; then
    echo "image: dist/image.tar is up to date"
    return
  fi
  rm -f dist/image.key
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work"/system/{etc/ssl/certs,proc,run,sys,tmp} "$work/program"
  chmod 1777 "$work/system/tmp"
  for library in $(libraries); do install -D -m 755 "$library" "$work/system/$library"; done
  cp -L /etc/ssl/certs/ca-certificates.crt "$work/system/etc/ssl/certs/"
  printf 'hosts: files dns\n' >"$work/system/etc/nsswitch.conf"
  printf 'root:x:0:0:root:/:/proxy\n' >"$work/system/etc/passwd"
  printf 'root:x:0:\n' >"$work/system/etc/group"
  cp dist/proxy "$work/program/proxy"

  umoci init --layout "$work/oci"
  umoci new --image "$work/oci:$name"
  # Layers that change rarely come first, because nodes keep the layers that they have.
  add_layer system
  add_layer program
  umoci config --image "$work/oci:$name" --created 1970-01-01T00:00:00Z --no-history --architecture "$(architecture)" \
    --config.entrypoint /proxy --config.workingdir / \
    --config.label org.opencontainers.image.title=proxy --config.label "org.opencontainers.image.version=$version" \
    --config.label org.opencontainers.image.licenses=Apache-2.0
  umoci gc --layout "$work/oci"
  archive "$work/oci" dist/image.tar.new
  mv dist/image.tar.new dist/image.tar
  sed -nE 's/.*"digest":"([^"]*)".*/\1/p' "$work/oci/index.json" >dist/image.digest
  echo "$key" >dist/image.key
  echo "image: $name: dist/image.tar ($(du -h --apparent-size dist/image.tar | cut -f1)), $(cat dist/image.digest)"
}

fail() {
  echo "image: $*" >&2
  exit 1
}

# Prints the files of the libraries that the program and the libraries embedded in it are linked with, except
# the embedded ones.
libraries() {
  local file
  ldd dist/proxy dist/embed/*.so.* | grep -oE '/\S+\.so\S*' | sort -u | while read -r file; do
    [[ $file = dist/* || -e dist/embed/${file##*/} || $file = *: ]] || echo "$file"
  done
}

architecture() { case $(uname -m) in x86_64) echo amd64 ;; aarch64) echo arm64 ;; *) uname -m ;; esac; }

add_layer() {
  archive "$work/$1" "$work/$1.tar"
  umoci raw add-layer --image "$work/oci:$name" --history.created 1970-01-01T00:00:00Z --history.created_by scripts/image.sh \
    "$work/$1.tar"
  rm "$work/$1.tar"
}

# Writes a tar archive that depends only on names, modes and contents.
archive() {
  tar --create --file "$2" --directory "$1" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner .
}

main "$@"
