#!/bin/bash
# Compiles tc.bpf.c so that it counts which of its branches are taken, by clang's source-based coverage:
#   counting.sh DIRECTORY
# makes there
#   tc.bpf.o       the programs; the counters are the one value of the map .data.covered
#   functions      whose the counters are, in their order: "NAME HASH COUNT" a line
#   mapping.o      what llvm-cov wants, to find what each counter counts
set -euo pipefail
directory=$(realpath "$1")
cd "$(dirname "$0")/../../../.."
clang=${CLANG:-clang}

# Linux finds counters by their section: otherwise a function would be made that registers them with a runtime.
flags=(-target bpf-unknown-linux -mcpu=v3 -O2 -g -std=gnu11 -I "/usr/include/$(uname -m)-linux-gnu"
  -fprofile-instr-generate -fcoverage-mapping)
source=backends/ebpf/bpf/tc.bpf.c
"$clang" "${flags[@]}" -c "$source" -o "$directory/mapping.o"
"$clang" "${flags[@]}" -S -emit-llvm "$source" -o "$directory/tc.ll"

# libbpf makes a map of each section called .data.*, but only of one part; the rest is for runtimes and llvm-cov.
sed -E -e '/^@(__profd_|__covrec_|__llvm_|llvm\.(compiler\.)?used)/d' -e '/^\$__profc_/d' \
  -e '/^@__profc_/{s/section "[^"]*"/section ".data.covered"/;s/, comdat[^,]*//}' "$directory/tc.ll" >"$directory/counting.ll"
llc -march=bpf -mcpu=v3 -O2 -filetype=obj "$directory/counting.ll" -o "$directory/tc.bpf.o"
llvm-strip --strip-debug "$directory/tc.bpf.o"

# Hashes are in what describes a function, numbers of counters in what they are: both come in the same order. Static
# functions are called after their file.
paste -d' ' \
  <(sed -nE 's/^@__profd_(tc\.bpf\.c_)?(\S+) = .* \{ i64 -?[0-9]+, i64 (-?[0-9]+),.*/\1:\2 \3/p' "$directory/tc.ll") \
  <(sed -nE 's/^@__profc_.* global \[([0-9]+) x i64\].*/\1/p' "$directory/tc.ll") |
  sed -E 's/^tc\.bpf\.c_:/tc.bpf.c:/; s/^://' >"$directory/functions"
