#!/bin/bash
# Makes the files of a release in dist/release: binary, image, Helm chart, Debian packages, bill of materials, SHA256SUMS
# and the notes of the version. docs/releasing.md says what to do before and after.
#   scripts/release.sh [--draft] [--arm64]
#     --draft   accepts a modified tree and a version without a date in CHANGELOG.md, and builds only once
#     --arm64   also makes the binary for arm64
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

out=dist/release
draft='' arm64=''

main() {
  local version created package
  while [ $# -gt 0 ]; do
    case $1 in
      --draft) draft=yes ;;
      --arm64) arm64=yes ;;
      *) fail "unknown argument $1: must be --draft or --arm64" ;;
    esac
    shift
  done
  version=$(sed -nE 's/^  "version": "(.*)",$/\1/p' deno.json)
  check_changelog "$version"
  [ -n "$draft" ] || [ -z "$(git status --porcelain)" ] || fail "the tree has changes that are not committed: commit them, or add --draft"
  scripts/setup.sh release
  scripts/peers.sh helm
  check_denort "$DENORT_BIN" "$(uname -m)"
  if [ -n "$draft" ]; then scripts/build.sh; else scripts/reproduce.sh; fi
  scripts/image.sh
  created=$(TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ)

  rm -rf "$out"
  mkdir -p "$out"
  notes "$version" >"$out/notes.md"
  add_binary "proxy-$version-linux-$(architecture "$(uname -m)")" dist "$created"
  if [ -n "$arm64" ] && [ "$(uname -m)" = x86_64 ]; then
    scripts/build.sh --arch arm64
    check_denort "$PROXY_CACHE/arm64/denort-$PROXY_DENO_VERSION" aarch64
    add_binary "proxy-$version-linux-arm64" dist/arm64 "$created"
  fi
  cp dist/image.tar "$out/proxy-$version-image.tar"
  "$PROXY_CACHE/peers/helm" package --version "$version" --app-version "$version" --destination "$out" \
    deploy/helm/proxy >/dev/null
  mv "$out/proxy-$version.tgz" "$out/proxy-$version-chart.tgz"
  for package in dist/*.deb; do
    [ ! -e "$package" ] || cp "$package" "$out/"
  done
  (cd "$out" && sha256sum -- * >../SHA256SUMS)
  mv dist/SHA256SUMS "$out/SHA256SUMS"
  echo "release: $version in $out:"
  sed 's/^/release:   /' "$out/SHA256SUMS"
}

fail() {
  echo "release: $*" >&2
  exit 1
}

architecture() { case $1 in x86_64) echo amd64 ;; aarch64) echo arm64 ;; *) echo "$1" ;; esac; }

check_changelog() {
  grep -qE "^## \[${1//./\\.}\] - " CHANGELOG.md || fail "CHANGELOG.md has no section for version $1 of deno.json: add ## [$1] - DATE"
  [ -n "$draft" ] || grep -qE "^## \[${1//./\\.}\] - [0-9]{4}-[0-9]{2}-[0-9]{2}$" CHANGELOG.md ||
    fail "the section of version $1 in CHANGELOG.md has no date: write ## [$1] - $(date +%F), or add --draft"
}

# Prints the section of a version in the changelog, without its heading.
notes() { awk -v heading="## [$1] " 'index($0, "## [") == 1 { inside = index($0, heading) == 1; next } inside' CHANGELOG.md; }

# Compares the base binary with what is known about it: its hash, and that it is of the same commit of Deno as deno, which
# Deno's own package has.
check_denort() {
  local hash commits
  hash=$(sha256sum <"$1" | cut -d' ' -f1)
  grep -q "^$hash  denort-$PROXY_DENO_VERSION $2$" scripts/denort.sha256 ||
    fail "$1 has the SHA-256 $hash, which is not in scripts/denort.sha256"
  commits=$(for file in "$(command -v deno)" "$1"; do grep -aoE "Deno/$PROXY_DENO_VERSION\+[0-9a-f]{7}" "$file" | head -n 1; done | sort -u)
  [[ $commits =~ ^Deno/[^[:space:]]+$ ]] || fail "deno and $1 are not of the same commit: $commits"
  echo "release: ${1##*/} ($2) has the pinned hash, and is of the commit of deno: $commits"
}

# Adds a binary and its bill of materials, which it validates.
add_binary() {
  local name=$1 parts=$2 created=$3 binary=dist/proxy
  [ "$parts" = dist ] || binary=dist/proxy-arm64
  cp "$binary" "$out/$name"
  deno run --quiet --no-config --allow-read --allow-env scripts/release/sbom.ts "$out/$name" "$parts/proxy.sources" \
    "$created" "$parts/proxy.js" "$parts/page.js" >"$out/$name.spdx.json"
  "$PROXY_CACHE/release-tools/bin/pyspdxtools" --infile "$out/$name.spdx.json" >"$out/validation" 2>&1 ||
    fail "the bill of materials is not valid SPDX: $(cat "$out/validation")"
  rm "$out/validation"
}

main "$@"
