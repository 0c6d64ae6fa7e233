#!/bin/bash
# Compiles backends/ebpf/bpf/*.bpf.c to dist/bpf/*.bpf.o, which scripts/build.sh embeds. Does nothing when the
# objects are up to date.
#
#   CLANG, LLVM_STRIP   the tools to use. Default: clang and llvm-strip
#   BPF_HEADERS         the directory of a processor's headers. Default: this machine's
#   BPF_OUTPUT          the directory of the objects. Default: dist/bpf
#   BPF_PREBUILT        if set, the objects are used as they are: an emulated arm64 has no clang, and its host has
#                       compiled them
set -euo pipefail
cd "$(dirname "$0")/.."

[ -z "${BPF_PREBUILT:-}" ] || exit 0

sources=backends/ebpf/bpf
clang=${CLANG:-clang} strip=${LLVM_STRIP:-llvm-strip}
for tool in "$clang" "$strip"; do
  command -v "$tool" >/dev/null || { echo "bpf: $tool not found: apt-get install clang llvm, or run scripts/setup.sh" >&2; exit 1; }
done

# Debian keeps asm/ in a directory named after the architecture. clang does not search it when the target is
# bpf.
includes=(-I "${BPF_HEADERS:-/usr/include/$(uname -m)-linux-gnu}")
output=${BPF_OUTPUT:-dist/bpf}

key=$({ cat scripts/bpf.sh $(find "$sources" -name "*.[ch]" | sort); "$clang" --version; } | sha256sum)
mkdir -p "$output"
exec 9> "$output/.lock"
flock 9
if [[ -f $output/.key && $key == "$(cat "$output/.key")" ]]; then exit 0; fi

rm -f "$output/.key"
built=()
for source in "$sources"/*.bpf.c; do
  object=$output/$(basename "$source" .c).o
  # -mcpu=v3: 32-bit registers and jumps. Every kernel that mode ebpf supports has them.
  # -fdebug-compilation-dir: BTF has the names of the source files. They must not depend on the directory of the build.
  "$clang" -target bpf -mcpu=v3 -O2 -g -std=gnu11 -Wall -Wextra -Werror -fdebug-compilation-dir=. "${includes[@]}" \
    -c "$source" -o "$object.new"
  # Keep the BTF, which the kernel needs, and remove the debugger information that -g also adds.
  "$strip" --strip-debug "$object.new"
  mv "$object.new" "$object"
  built+=("${object##*/}")
done
echo "$key" > "$output/.key"
echo "bpf: ${built[*]}"
