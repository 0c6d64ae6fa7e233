// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* tc.bpf.c for kernels whose programs can look up the flows of netfilter. */
#define LOOKS_UP_NETFILTER
#include "tc.bpf.c"
