#!/bin/bash
# Compiles backends/ebpf/bpf/*.bpf.c to dist/bpf/*.bpf.o, which scripts/build.sh embeds. Takes no time when they were
# made from what is here now.
#
#   CLANG, LLVM_STRIP   the tools; else clang and llvm-strip
set -euo pipefail
cd "$(dirname "$0")/.."

sources=backends/ebpf/bpf
clang=${CLANG:-clang} strip=${LLVM_STRIP:-llvm-strip}
for tool in "$clang" "$strip"; do
  command -v "$tool" >/dev/null || { echo "bpf: no $tool: apt-get install clang llvm, or run scripts/setup.sh" >&2; exit 1; }
done

# Debian has asm/ under the architecture's name, where clang does not look when it compiles for another machine.
includes=(-I "/usr/include/$(uname -m)-linux-gnu")

key=$({ cat scripts/bpf.sh "$sources"/*.[ch]; "$clang" --version; } | sha256sum)
mkdir -p dist/bpf
exec 9> dist/bpf/.lock
flock 9
if [[ -f dist/bpf/.key && $key == "$(cat dist/bpf/.key)" ]]; then exit 0; fi

rm -f dist/bpf/.key
built=()
for source in "$sources"/*.bpf.c; do
  object=dist/bpf/$(basename "$source" .c).o
  # -mcpu=v3: 32-bit registers and jumps, which every kernel that the mode runs on has.
  "$clang" -target bpf -mcpu=v3 -O2 -g -std=gnu11 -Wall -Wextra -Werror "${includes[@]}" -c "$source" -o "$object.new"
  # The kernel wants the BTF; the debugger's half of -g can go.
  "$strip" --strip-debug "$object.new"
  mv "$object.new" "$object"
  built+=("${object##*/}")
done
echo "$key" > dist/bpf/.key
echo "bpf: ${built[*]}"
