#!/bin/bash
# Builds dist/proxy: one binary that contains the program, its shared libraries and the Deno runtime.
# Does nothing when dist/proxy is up to date.
#
#   DENORT_BIN   the base binary to use. Default: the one that scripts/setup.sh made, or else the one that deno
#                fetches from its release host
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

deno=$(command -v deno) || { echo "build: deno not found: run scripts/setup.sh" >&2; exit 1; }
[[ -f $DENORT_BIN ]] || unset DENORT_BIN

# Libraries to embed in the binary: file name, Debian package.
libraries=(
  "libnl-3.so.200 libnl-3-200"
  "libbpf.so.1 libbpf1"
  # Dependencies of libbpf.
  "libelf.so.1 libelf1"
  "libz.so.1 zlib1g"
  # TLS that rustls does not do. libssl needs libcrypto.
  "libcrypto.so.3 libssl3"
  "libssl.so.3 libssl3"
)

library_path() {
  ldconfig -p | awk -v soname="$1" '$1 == soname && /x86-64|AArch64/ && !path { path = $NF } END { print path }'
}

embed=()
for library in "${libraries[@]}"; do
  read -r soname package <<< "$library"
  path=$(PATH=$PATH:/sbin:/usr/sbin library_path "$soname")
  [[ -n $path ]] || { echo "build: $soname not found: apt-get install $package" >&2; exit 1; }
  embed+=("$path")
done

scripts/bpf.sh
embed+=(dist/bpf/*.bpf.o)

# Key of everything the binary is made from: the content of small files, and the size and time of the large
# programs.
build_key() {
  {
    find main.ts core backends ffi -name '*.ts' -print0 | sort -z | xargs -0 sha256sum
    sha256sum scripts/build.sh scripts/env.sh deno.json "${embed[@]}"
    if [[ -f deno.lock ]]; then sha256sum deno.lock; fi
    stat -L -c '%n %s %Y' "$deno" ${DENORT_BIN:+"$DENORT_BIN"}
  } | sha256sum
}

mkdir -p dist
exec 9> dist/.lock
flock 9

key=$(build_key)
if [[ -x dist/proxy && -f dist/.key && $key == "$(cat dist/.key)" ]]; then
  echo "build: dist/proxy is up to date"
  exit 0
fi

# ffi/library.ts looks for embed/ beside the module that it runs in, which is the bundle.
rm -rf dist/embed dist/.key
mkdir dist/embed
cp -L "${embed[@]}" dist/embed/

"$deno" bundle --quiet --output dist/proxy.js main.ts
# --no-code-cache: the code cache would be a file with a predictable name in /tmp that root writes and
# executes.
"$deno" compile --quiet --allow-all --no-check --no-code-cache --v8-flags="$PROXY_V8_FLAGS" \
  --include dist/embed --output dist/proxy.new dist/proxy.js
mv dist/proxy.new dist/proxy
# Compute the key again, because `deno bundle` may have added entries to deno.lock.
build_key > dist/.key
echo "build: dist/proxy ($(du -h --apparent-size dist/proxy | cut -f1))"
