#!/bin/bash
# Compiles tc.bpf.c so that it counts which of its branches are taken, by clang's source-based coverage:
#   counting.sh DIRECTORY
# makes there
#   tc.bpf.o       the programs; the counters are the one value of the map .data.covered
#   functions      whose the counters are, in their order: "NAME HASH BYTES" a line, bytes in hexadecimal digits
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
"$clang" "${flags[@]}" -Xclang -disable-llvm-passes -S -emit-llvm "$source" -o - |
  opt -S -passes=instrprof -o "$directory/counted.ll"

# libbpf makes a map of a section called .data.*, but only of one part; the rest is for runtimes and llvm-cov. Counters
# are volatile so that they stay where they are: what is kept of them from one branch to the next finds no room in 512
# bytes of stack.
sed -E -e '/^@(__profd_|__covrec_|__llvm_|llvm\.(compiler\.)?used)/d' -e '/^\$__profc_/d' \
  -e '/^@__profc_/{s/section "[^"]*"/section ".data.covered"/;s/, comdat[^,]*//;s/ private / internal /}' \
  -e 's/(load|store) (i64.*@__profc_)/\1 volatile \2/' "$directory/counted.ll" >"$directory/counting.ll"
"$clang" -target bpf -Wno-override-module -mcpu=v3 -O2 -c "$directory/counting.ll" -o "$directory/tc.bpf.o"
llvm-strip --strip-debug "$directory/tc.bpf.o"

# Static functions are called after their file.
llvm-nm --numeric-sort --print-size "$directory/tc.bpf.o" |
  awk 'NR == FNR { hash[$1] = $2; next } sub(/^__profc_/, "", $4) {
    name = $4; sub(/^tc\.bpf\.c_/, "tc.bpf.c:", name); print name, hash[$4], $2
  }' <(sed -nE 's/^@__profd_(\S+) = .* \{ i64 -?[0-9]+, i64 (-?[0-9]+),.*/\1 \2/p' "$directory/counted.ll") - >"$directory/functions"
