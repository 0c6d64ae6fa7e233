/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Layouts of the maps that the programs share with the proxy or with each other, in maps/.
 *
 * backends/ebpf/maps/layout.ts writes and reads the same bytes, and tests/backends/ebpf/maps/layout_test.ts
 * compares it with the BTF of the compiled objects. A change of a layout must increment LAYOUT_VERSION there,
 * so that a new version creates its own maps instead of taking over bytes that it would misread.
 *
 * Both families share every map: an address takes 16 bytes, IPv4 as ::ffff:a.b.c.d. Ports are in network byte
 * order, numbers in host byte order. Members called `zero` are part of keys and must be zero.
 */
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

struct address {
	__be32 word[4];
};

#include "maps/services.h"
#include "maps/node.h"
#include "maps/counters.h"
#include "maps/flows.h"
