#!/bin/bash
# Builds dist/proxy: one binary that contains the program, its shared libraries and the Deno runtime.
# Does nothing when dist/proxy is up to date.
#   scripts/build.sh [--arch arm64]      --arch: for this processor; on x86-64 makes dist/proxy-arm64
#
#   DENORT_BIN   the base binary to use. Default: the one that scripts/setup.sh made, or else the one that deno
#                fetches from its release host
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

deno=$(command -v deno) || { echo "build: deno not found: run scripts/setup.sh" >&2; exit 1; }

# `foreign` is the directory of scripts/arm64.sh if the binary is for another processor than this machine's. `parts` is
# the directory of what the binary is made from.
foreign='' output=dist/proxy parts=dist target=()
case $*:$(uname -m) in
  :* | "--arch amd64:x86_64" | "--arch arm64:aarch64") ;;
  "--arch arm64:x86_64")
    foreign=$PROXY_CACHE/arm64 output=dist/proxy-arm64 parts=dist/arm64 target=(--target aarch64-unknown-linux-gnu)
    scripts/setup.sh arm64
    DENORT_BIN=$foreign/denort-$PROXY_DENO_VERSION
    ;;
  *) echo "build: cannot build on $(uname -m) with the arguments $*: usage: scripts/build.sh [--arch arm64]" >&2; exit 2 ;;
esac
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
  if [[ -n $foreign ]]; then
    find "$foreign/root/lib" "$foreign/root/usr/lib" -name "$1" -print -quit
    return
  fi
  ldconfig -p | awk -v soname="$1" '$1 == soname && /x86-64|AArch64/ && !path { path = $NF } END { print path }'
}

embed=()
for library in "${libraries[@]}"; do
  read -r soname package <<< "$library"
  path=$(PATH=$PATH:/sbin:/usr/sbin library_path "$soname")
  [[ -n $path ]] || { echo "build: $soname not found: apt-get install $package" >&2; exit 1; }
  embed+=("$path")
done

# Prints the package that a library belongs to, with its version. Fails if the file is not the package's, because
# whatever is embedded runs as root on every node.
origin() {
  local name package
  if [[ -n $foreign ]]; then
    scripts/arm64.sh origin "$1"
    return
  fi
  command -v dpkg >/dev/null || { echo "unknown package" && return; }
  name=$(basename "$(realpath "$1")")
  package=$(dpkg --search "*/$name" 2>/dev/null | sed -n '1s/: .*//p')
  [[ -n $package ]] || { echo "build: $1 belongs to no Debian package" >&2; return 1; }
  if dpkg --verify "$package" | grep -q "/$name\$"; then
    echo "build: $1 is not the file of package $package: apt-get install --reinstall $package" >&2
    return 1
  fi
  dpkg-query --show --showformat '${Package} ${Version} ${Architecture}' "$package"
}

# `deno bundle` fetches esbuild from the npm registry, and its version is part of Deno. Checks the hash before and after
# it runs.
check_esbuild() {
  local file
  for file in "${DENO_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/deno}"/dl/esbuild-*/esbuild-*; do
    [[ -f $file ]] || continue
    grep -q "^$(sha256sum <"$file" | cut -d' ' -f1)  ${file##*/}$" scripts/esbuild.sha256 || {
      echo "build: $file has a hash that is not in scripts/esbuild.sha256: remove it and try again" >&2
      return 1
    }
  done
}

scripts/bpf.sh
embed+=(dist/bpf/*.bpf.o page/page.html page/page.css page/page.svg)

# Key of everything the binary is made from: the content of small files, and the size and time of the large
# programs.
build_key() {
  {
    find main.ts core backends ffi page -name '*.ts' -print0 | sort -z | xargs -0 sha256sum
    echo "$output"
    sha256sum scripts/build.sh scripts/env.sh deno.json page/deno.json "${embed[@]}"
    if [[ -f deno.lock ]]; then sha256sum deno.lock; fi
    stat -L -c '%n %s %Y' "$deno" ${DENORT_BIN:+"$DENORT_BIN"}
  } | sha256sum
}

mkdir -p "$parts"
exec 9> "$parts/.lock"
flock 9

key=$(build_key)
if [[ -x $output && -f $parts/.key && $key == "$(cat "$parts/.key")" ]]; then
  echo "build: $output is up to date"
  exit 0
fi

# ffi/libraries/library.ts looks for embed/ beside the module that it runs in, which is the bundle.
rm -rf "$parts/embed" "$parts/.key"
mkdir "$parts/embed"
cp -L "${embed[@]}" "$parts/embed/"

# Says what the binary is made from.
{
  for file in "$deno" ${DENORT_BIN:+"$DENORT_BIN"}; do echo "$(sha256sum <"$file" | cut -d' ' -f1)  ${file##*/}"; done
  for file in "${embed[@]}"; do
    from=
    [[ $file = dist/bpf/* || $file = page/* ]] || from=" ($(origin "$file"))"
    echo "$(sha256sum <"$file" | cut -d' ' -f1)  ${file##*/}$from"
  done
} >"$output.sources"

check_esbuild
"$deno" bundle --frozen --quiet --output "$parts/proxy.js" main.ts
"$deno" bundle --frozen --quiet --output "$parts/embed/relay.js" backends/userspace/relay/thread.ts
"$deno" bundle --frozen --quiet --platform browser --minify --output "$parts/embed/page.js" page/main.ts
# The script contains uPlot (deploy/debian/copyright). A readable one names its npm modules for scripts/release/sbom.ts.
"$deno" bundle --frozen --quiet --platform browser --output "$parts/page.js" page/main.ts
check_esbuild
# Names of npm modules in the bundle are paths from this directory to Deno's cache. The binary must not depend on them.
sed -E -i 's#(\.\./)+([^ "]*/)?npm/[^/ "]+/#npm/#' "$parts/proxy.js" "$parts/page.js"
# The binary stores the modification times of the files that it embeds.
touch --date=@0 "$parts"/embed/* "$parts/proxy.js"
# --no-code-cache: the code cache would be a file with a predictable name in /tmp that root writes and
# executes.
"$deno" compile --frozen --quiet --allow-all --no-check --no-code-cache --v8-flags="$PROXY_V8_FLAGS" \
  "${target[@]}" --include "$parts/embed" --output "$output.new" "$parts/proxy.js"
mv "$output.new" "$output"
echo "$key" > "$parts/.key"
echo "build: $output ($(du -h --apparent-size "$output" | cut -f1))"
