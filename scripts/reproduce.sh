#!/bin/bash
# Builds the program a second time and compares: the same inputs must give the same dist/proxy, bit for bit. The
# second build runs in a directory with another name, with a cache of Deno, a time zone, a language and a umask of
# its own.
#   scripts/reproduce.sh      prints the SHA-256 of dist/proxy; fails and names what differs
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

main() {
  local deno_dir=${DENO_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/deno} part differs=()
  scripts/build.sh
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  copy=$work/a-second-build
  mkdir "$copy"
  git ls-files --cached --others --exclude-standard -z | tar --create --null --ignore-failed-read --files-from=- 2>/dev/null |
    tar --extract --directory "$copy"
  cp -r "$deno_dir" "$work/cache-of-deno"
  (
    umask 077
    DENO_DIR=$work/cache-of-deno TZ=Pacific/Auckland LC_ALL=C "$copy/scripts/build.sh"
  )
  # From the parts to the whole, so that the first name is the cause.
  for part in dist/bpf/*.o dist/proxy.js dist/proxy.sources dist/proxy; do
    cmp --silent "$part" "$copy/$part" || differs+=("$part")
  done
  [ ${#differs[@]} = 0 ] || fail "a second build of the same sources differs in ${differs[*]}"
  echo "reproduce: two builds gave the same dist/proxy, SHA-256 $(sha256sum dist/proxy | cut -d' ' -f1)"
}

fail() {
  echo "reproduce: $*" >&2
  exit 1
}

main "$@"
