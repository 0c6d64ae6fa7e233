#!/bin/bash
# Compiles tc_netfilter.bpf.c with clang's source-based coverage, so that it counts which of its branches are taken:
#   counting.sh DIRECTORY
# Files written to DIRECTORY:
#   tc_netfilter.bpf.o       the programs; the counters are the only value of map .data.covered
#   functions      the functions that the counters belong to, in their order, as one line "NAME HASH BYTES" per
#                  function, BYTES in hexadecimal digits
#   mapping.o      input of llvm-cov, which maps each counter to its source
set -euo pipefail
directory=$(realpath "$1")
cd "$(dirname "$0")/../../../../.."
clang=${CLANG:-clang}

# With a Linux target, a runtime finds the counters by their section. Other targets get a function that registers them.
flags=(-target bpf-unknown-linux -mcpu=v3 -O2 -g -std=gnu11 -I "/usr/include/$(uname -m)-linux-gnu"
  -fprofile-instr-generate -fcoverage-mapping)
source=backends/ebpf/bpf/tc_netfilter.bpf.c
"$clang" "${flags[@]}" -c "$source" -o "$directory/mapping.o"
"$clang" "${flags[@]}" -Xclang -disable-llvm-passes -S -emit-llvm "$source" -o - |
  opt -S -passes=instrprof -o "$directory/counted.ll"

# libbpf creates a map from a section called .data.*, but only without COMDAT groups. The other sections are for
# runtimes and llvm-cov. Counters are volatile, so that they stay in memory: values kept from one branch to the next
# would not fit into the stack of 512 bytes.
sed -E -e '/^@(__profd_|__covrec_|__llvm_|llvm\.(compiler\.)?used)/d' -e '/^\$__profc_/d' \
  -e '/^@__profc_/{s/section "[^"]*"/section ".data.covered"/;s/, comdat[^,]*//;s/ private / internal /}' \
  -e 's/(load|store) (i64.*@__profc_)/\1 volatile \2/' "$directory/counted.ll" >"$directory/counting.ll"
"$clang" -target bpf -Wno-override-module -mcpu=v3 -O2 -c "$directory/counting.ll" -o "$directory/tc_netfilter.bpf.o"
llvm-strip --strip-debug "$directory/tc_netfilter.bpf.o"

# Static functions have the prefix of their file.
llvm-nm --numeric-sort --print-size "$directory/tc_netfilter.bpf.o" |
  awk 'NR == FNR { hash[$1] = $2; next } sub(/^__profc_/, "", $4) {
    name = $4; sub(/^tc_netfilter\.bpf\.c_/, "tc_netfilter.bpf.c:", name); print name, hash[$4], $2
  }' <(sed -nE 's/^@__profd_(\S+) = .* \{ i64 -?[0-9]+, i64 (-?[0-9]+),.*/\1 \2/p' "$directory/counted.ll") - >"$directory/functions"
