#!/bin/bash
# Builds dist/image-all.tar: the images for amd64 and arm64 in one OCI archive, whose index lets a node take the one for
# its processor.
#   scripts/image-index.sh [NAME]      name and tag of the image; default: localhost/proxy:VERSION
# The same inputs give the same digest, which dist/image-all.digest holds. umoci makes the images; no tool of Debian
# writes an index without copying the images through a store of its own, so this script does.
set -euo pipefail
cd "$(dirname "$0")/.."

main() {
  local version name
  [ "$(uname -m)" = x86_64 ] || fail "needs an x86-64 host, and this one is $(uname -m)"
  version=$(sed -nE 's/^  "version": "(.*)",$/\1/p' deno.json)
  name=${1:-localhost/proxy:$version}
  [ -x dist/proxy-arm64 ] || fail "dist/proxy-arm64 not found: run scripts/build.sh --arch arm64"
  scripts/image.sh "$name"
  scripts/image.sh --arch arm64 "$name"

  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir "$work/oci"
  for image in dist/image.tar dist/image-arm64.tar; do
    # Blobs have their digests as names, so those of both images go to one directory.
    tar --extract --file "$image" --directory "$work/oci"
    mv "$work/oci/index.json" "$work/${image##*/}.json"
  done
  rm -f "$work/oci/manifest.json"
  write_index "$work/oci" "$name" "$work"/image.tar.json "$work"/image-arm64.tar.json >dist/image-all.digest
  tar --create --file dist/image-all.tar.new --directory "$work/oci" --sort=name --mtime=@0 --owner=0 --group=0 \
    --numeric-owner .
  mv dist/image-all.tar.new dist/image-all.tar
  echo "image: $name: dist/image-all.tar ($(du -h --apparent-size dist/image-all.tar | cut -f1)), $(cat dist/image-all.digest)"
}

fail() {
  echo "image: $*" >&2
  exit 1
}

# Adds an index of images to a layout, and prints its digest.
#   write_index LAYOUT NAME INDEX...      INDEX: index.json of the layout of one image
write_index() {
  python3 - "$@" <<'PYTHON'
import hashlib, json, os, sys

layout, name, *sources = sys.argv[1:]
INDEX = "application/vnd.oci.image.index.v1+json"

def blob(digest):
    return os.path.join(layout, "blobs", *digest.split(":"))

def read(path):
    with open(path) as file:
        return json.load(file)

def described(image):
    """The descriptor of an image, with its processor, which its configuration has."""
    config = read(blob(read(blob(image["digest"]))["config"]["digest"]))
    platform = {"architecture": config["architecture"], "os": config["os"]}
    return {key: image[key] for key in ("mediaType", "digest", "size")} | {"platform": platform}

images = [described(image) for source in sources for image in read(source)["manifests"]]
content = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": images}).encode()
digest = "sha256:" + hashlib.sha256(content).hexdigest()
with open(blob(digest), "wb") as file:
    file.write(content)
# Podman and skopeo read the name from the first annotation, containerd from the second.
names = {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name}
with open(os.path.join(layout, "index.json"), "w") as file:
    entry = {"mediaType": INDEX, "digest": digest, "size": len(content), "annotations": names}
    json.dump({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}, file)
print(digest)
PYTHON
}

main "$@"
