#!/bin/bash
# Builds dist/image.tar: the container image of dist/proxy as an OCI archive, for `ctr images import`,
# `podman load` and `docker load`.
#   scripts/image.sh [--arch arm64] [NAME]      NAME: name and tag of the image; default: localhost/proxy:VERSION
#   scripts/image.sh --root DIR  only writes the files of the image to a directory, for deploy/image/Dockerfile
# With --arch arm64 on an x86-64 machine, builds dist/image-arm64.tar of dist/proxy-arm64. scripts/image-index.sh puts
# the images for both processors into one archive.
# The image has the program, the C library that it is linked with and the certificates of public authorities.
# It has no shell. The program is also where manifests expect kube-proxy. The same inputs give the same digest,
# which dist/image.digest holds. Does nothing when the image is up to date.
set -euo pipefail
cd "$(dirname "$0")/.."

umask 022
# Certificates of Debian's package. /etc/ssl/certs may have private ones of this machine in addition.
LC_COLLATE=C
authorities=(/usr/share/ca-certificates/mozilla/*.crt)

# What the image is made from and where it goes. `foreign` is the root of the packages of another processor.
program=dist/proxy embed=dist/embed image=dist/image foreign=''

main() {
  local version name key revision created
  if [ "${1:-}" = --arch ]; then
    use_processor "${2:-}"
    shift 2
  fi
  [ -x $program ] || fail "$program not found: run scripts/build.sh${foreign:+ --arch arm64}"
  if [ "${1:-}" = --root ]; then
    [ $# = 2 ] || fail "--root needs a directory"
    write_system "$2"
    write_program "$2"
    return
  fi
  version=$(sed -nE 's/^  "version": "(.*)",$/\1/p' deno.json)
  name=${1:-localhost/proxy:$version}
  command -v umoci >/dev/null || fail "umoci not found: apt-get install umoci, or run scripts/setup.sh release"

  revision=$(revision)
  created=1970-01-01T00:00:00Z
  [ -z "$revision" ] || created=$(TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ "${revision%+*}")
  key=$({ echo "$name $revision" && cat scripts/image.sh && { printf '%s\n' $program "${authorities[@]}" && libraries | sed "s#^#$foreign#"; } | xargs sha256sum; } | sha256sum)
  if [ -e $image.tar ] && [ "$(cat $image.key 2>/dev/null)" = "$key" ]; then
    echo "image: $image.tar is up to date"
    return
  fi
  rm -f $image.key
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  write_system "$work/system"
  write_program "$work/program"

  umoci init --layout "$work/oci"
  umoci new --image "$work/oci:$name"
  # Layers that change rarely come first, because nodes keep the layers that they have.
  add_layer system
  add_layer program
  umoci config --image "$work/oci:$name" --created "$created" --no-history --architecture "$(architecture)" \
    --config.entrypoint /proxy --config.workingdir / --config.env PATH=/usr/local/bin:/usr/bin:/bin \
    --config.label org.opencontainers.image.title=proxy --config.label "org.opencontainers.image.version=$version" \
    --config.label "org.opencontainers.image.description=Service proxy for Kubernetes nodes, a replacement for kube-proxy" \
    --config.label org.opencontainers.image.licenses=Apache-2.0 ${revision:+--config.label "org.opencontainers.image.revision=$revision"}
  umoci gc --layout "$work/oci"
  write_docker_manifest "$work/oci"
  archive "$work/oci" $image.tar.new
  mv $image.tar.new $image.tar
  sed -nE 's/.*"digest":"([^"]*)".*/\1/p' "$work/oci/index.json" >$image.digest
  echo "$key" >$image.key
  echo "image: $name: $image.tar ($(du -h --apparent-size $image.tar | cut -f1)), $(cat $image.digest)"
}

fail() {
  echo "image: $*" >&2
  exit 1
}

# Makes the image for a processor: amd64 or arm64.
use_processor() {
  case $1:$(uname -m) in
    amd64:x86_64 | arm64:aarch64) ;;
    arm64:x86_64)
      scripts/setup.sh arm64
      . scripts/env.sh
      program=dist/proxy-arm64 embed=dist/arm64/embed image=dist/image-arm64 foreign=$PROXY_CACHE/arm64/root
      ;;
    *) fail "cannot make an image for ${1:-no processor} on $(uname -m): --arch must be arm64, or this machine's own" ;;
  esac
}

# Writes everything but the program to a directory.
write_system() {
  local library package copyright
  mkdir -p "$1"/{etc/ssl/certs,proc,run,sys,tmp}
  chmod 1777 "$1/tmp"
  for library in $(libraries); do install -D -m 755 "$foreign$library" "$1/$library"; done
  cat "${authorities[@]}" >"$1/etc/ssl/certs/ca-certificates.crt"
  printf 'hosts: files dns\n' >"$1/etc/nsswitch.conf"
  printf 'root:x:0:0:root:/:/proxy\n' >"$1/etc/passwd"
  printf 'root:x:0:\n' >"$1/etc/group"
  # Licences of what the image and the binary contain.
  for package in $(packages); do
    # Packages that are the same for all processors are those of this machine.
    copyright=$foreign/usr/share/doc/$package/copyright
    [ -e "$copyright" ] || copyright=/usr/share/doc/$package/copyright
    [ ! -e "$copyright" ] || install -D -m 644 "$copyright" "$1/usr/share/doc/$package/copyright"
  done
  install -D -m 644 LICENSE "$1/usr/share/doc/proxy/LICENSE"
}

# Writes the program to a directory. DaemonSets and static pods of kube-proxy name it `kube-proxy` or
# `/usr/local/bin/kube-proxy`.
write_program() {
  mkdir -p "$1/usr/local/bin"
  install -m 755 $program "$1/proxy"
  ln -s /proxy "$1/usr/local/bin/kube-proxy"
}

# Prints the Debian packages that the image and the binary have files of.
packages() {
  printf '%s\n' libc6 libgcc-s1 ca-certificates
  sed -nE 's/.* \((\S+) \S+ \S+\)$/\1/p' $program.sources | sort -u
}

# Prints the files of the libraries that the program and the libraries embedded in it are linked with, except
# the embedded ones.
libraries() {
  local file
  linked | grep -oE '/\S+\.so\S*' | sort -u | while read -r file; do
    [[ $file = dist/* || -e $embed/${file##*/} || $file = *: ]] || echo "$file"
  done
}

# Prints the last commit that changed what the image is made from, so that other commits leave the image as it is.
# "+modified" follows if files differ from it. Prints nothing outside of a git repository.
revision() {
  local sources=(main.ts core backends ffi page deno.json deno.lock scripts/{build,bpf,image,env}.sh)
  git rev-parse --git-dir >/dev/null 2>&1 || return 0
  printf %s "$(git log -1 --format=%H -- "${sources[@]}")"
  [ -z "$(git status --porcelain -- "${sources[@]}")" ] || printf +modified
}

# Writes manifest.json, which `docker load` needs unless the daemon keeps its images in containerd.
write_docker_manifest() {
  python3 - "$1" "$name" <<'PYTHON'
import json, os, sys

layout, name = sys.argv[1:]

def blob(descriptor):
    return "blobs/" + descriptor["digest"].replace(":", "/")

with open(os.path.join(layout, "index.json")) as file:
    index = json.load(file)
with open(os.path.join(layout, blob(index["manifests"][0]))) as file:
    manifest = json.load(file)
with open(os.path.join(layout, "manifest.json"), "w") as file:
    layers = [blob(layer) for layer in manifest["layers"]]
    json.dump([{"Config": blob(manifest["config"]), "RepoTags": [name], "Layers": layers}], file)
PYTHON
}

# Prints what ldd does. The loader of another processor runs in an emulator.
linked() {
  local file
  if [ -z "$foreign" ]; then
    ldd $program "$embed"/*.so.*
    return
  fi
  for file in $program "$embed"/*.so.*; do
    qemu-aarch64-static -L "$foreign" "$foreign/lib/ld-linux-aarch64.so.1" --list "$file"
  done | sed "s#$foreign##"
}

architecture() {
  case ${foreign:+arm64}$(uname -m) in
    arm64* | aarch64) echo arm64 ;;
    x86_64) echo amd64 ;;
    *) uname -m ;;
  esac
}

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
