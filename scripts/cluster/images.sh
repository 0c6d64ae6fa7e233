#!/bin/bash
# Builds the images of the test cluster, except the one of the proxy, as one OCI archive. They have the names
# that Kubernetes' tests expect, and the same programs, in a Debian root file system.
#   scripts/cluster/images.sh      writes $PROXY_CACHE/cluster/images.tar; does nothing when it is up to date
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/cluster/settings.sh

packages=(
  curl wget netcat-openbsd iproute2 bind9-dnsutils iperf socat conntrack iptables procps nftables ca-certificates busybox
)
e2e=registry.k8s.io/e2e-test-images

main() {
  local key
  key=$(key)
  [ "$(cat "$archives/images.key" 2>/dev/null)" != "$key" ] || return 0
  mkdir -p "$archives"
  exec 8>"$archives/.lock"
  flock --nonblock 8 || { say "waiting for another scripts/cluster/images.sh" && flock 8; }
  [ "$(cat "$archives/images.key" 2>/dev/null)" != "$key" ] || return 0
  # Removes what an interrupted run has left, too.
  rm -rf "$archives/images.key" "$archives"/images.??????
  work=$(mktemp -d "$archives/images.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  oci=$work/oci
  umoci init --layout "$oci"

  say "images: Debian root file system"
  root_file_system
  say "images: packing"
  image base "$archives/base.tar"
  umoci config --image "$oci:base" --config.cmd sh
  image_of_pause registry.k8s.io/pause:3.10.2
  # The tests run netexec and other commands of agnhost, and tools of the base.
  image_of_agnhost $e2e/agnhost:2.66.1
  umoci tag --image "$oci:$e2e/agnhost:2.66.1" $e2e/agnhost:2.55
  on_base $e2e/regression-issue-74839:1.5 /regression-issue-74839 "$peers/regression-issue-74839"
  on_base "registry.k8s.io/kube-proxy:$kubernetes_version" /kube-proxy "$peers/kube-proxy"
  on_base registry.k8s.io/coredns/coredns:v1.14.7 /coredns "$peers/coredns"
  umoci tag --image "$oci:base" $e2e/busybox:1.37.0-2
  umoci tag --image "$oci:base" $e2e/glibc-dns-testing:2.1.1
  umoci tag --image "$oci:base" registry.k8s.io/build-image/distroless-iptables:v0.9.7
  umoci rm --image "$oci:base"
  umoci gc --layout "$oci"
  tar --create --file "$work/images.tar" --directory "$oci" .
  mv "$work/images.tar" "$archives/images.tar"
  echo "$key" >"$archives/images.key"
}

# Key of everything that the images are made from.
key() {
  { cat scripts/cluster/images.sh scripts/cluster/pause.c && cat "$peers"/{agnhost,regression-issue-74839,kube-proxy,coredns}.version; } |
    sha256sum
}

root_file_system() {
  local wanted="${packages[*]}"
  [ "$(cat "$archives/base.packages" 2>/dev/null)" != "$wanted" ] || return 0
  rm -f "$archives/base.packages"
  nice -n 10 mmdebstrap --variant=minbase --quiet --include="$(IFS=,; echo "${packages[*]}")" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*' \
    "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$work/base.tar" ||
    fail "mmdebstrap could not make a root file system from Debian packages, see above"
  mv "$work/base.tar" "$archives/base.tar"
  echo "$wanted" >"$archives/base.packages"
}

image_of_pause() {
  mkdir "$work/pause"
  gcc -Os -static -o "$work/pause/pause" scripts/cluster/pause.c
  layer "$work/pause"
  image "$1" "$work/pause.tar"
  umoci config --image "$oci:$1" --config.entrypoint /pause --config.user 65535:65535
}

image_of_agnhost() {
  local root=$work/agnhost
  mkdir -p "$root/uploads" "$root/usr/local/bin"
  ln -s agnhost "$root/agnhost-2"
  ln -s /usr/bin/iperf "$root/usr/local/bin/iperf"
  # A DNS server, which tests of the cluster's DNS forward to.
  cp "$peers/coredns" "$root/coredns"
  # The image that the command fake-registry-server serves.
  registry registry.k8s.io/pause:3.10.2 "$root/var/registry/pause" testing
  # The command porter serves TLS with them.
  openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
    -keyout "$root/localhost.key" -out "$root/localhost.crt" 2>/dev/null
  on_base "$1" /agnhost "$peers/agnhost"
  umoci config --image "$oci:$1" --config.cmd pause
}

# Copies an image to a directory in the layout that fake-registry-server reads, with the media type in the manifest,
# which umoci leaves out.
#   registry NAME DIRECTORY TAG
registry() {
  python3 - "$oci" "$@" <<'PYTHON'
import hashlib, json, os, sys

oci, name, directory, tag = sys.argv[1:]

def read(digest):
    with open(os.path.join(oci, "blobs", *digest.split(":")), "rb") as file:
        return file.read()

def write(kind, content):
    digest = hashlib.sha256(content).hexdigest()
    path = os.path.join(directory, kind, "sha256", digest[:2], digest)
    os.makedirs(path)
    with open(os.path.join(path, "data"), "wb") as file:
        file.write(content)
    return "sha256:" + digest

with open(os.path.join(oci, "index.json")) as file:
    images = json.load(file)["manifests"]
entry = next(i for i in images if i["annotations"]["org.opencontainers.image.ref.name"] == name)
manifest = json.loads(read(entry["digest"]))
manifest["mediaType"] = entry["mediaType"]
for blob in [manifest["config"], *manifest["layers"]]:
    write("blobs", read(blob["digest"]))
digest = write("manifests", json.dumps(manifest).encode())
with open(os.path.join(directory, "manifests", tag), "w") as file:
    file.write(digest)
PYTHON
}

# Adds a program and the files of $work/PROGRAM to the base.
#   on_base NAME ENTRYPOINT PROGRAM
on_base() {
  local name=$1 root=$work/${3##*/}
  mkdir -p "$root"
  cp "$3" "$root/"
  layer "$root"
  umoci tag --image "$oci:base" "$name"
  umoci raw add-layer --image "$oci:$name" "$root.tar" 2>/dev/null
  umoci config --image "$oci:$name" --clear config.cmd --config.entrypoint "$2"
  rm -rf "$root" "$root.tar"
}

image() {
  umoci new --image "$oci:$1"
  umoci raw add-layer --image "$oci:$1" "$2"
  umoci config --image "$oci:$1" --config.env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
}

layer() { tar --create --file "$1.tar" --directory "$1" --owner=0 --group=0 --numeric-owner .; }

main
