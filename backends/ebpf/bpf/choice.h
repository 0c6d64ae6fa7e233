/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* From an address to a service, and from a service to one of its endpoints: the same for sockets and packets. */
#pragma once

#include <linux/in.h>
#include <stddef.h>
#include "address.h"

/*
 * The verifier goes through a function with a name of its own once, whoever calls it; through a static one again for
 * each caller. It assumes nothing of the arguments then: pointers may be NULL.
 */
#define VERIFIED_ONCE __attribute__((noinline))

#define NANOSECONDS 1000000000ULL

static __always_inline struct settings *settings_of_node(void)
{
	__u32 only = 0;
	return bpf_map_lookup_elem(&node_settings, &only);
}

/* ---- from an address to a service ---- */

/* Often enough that a service which is there is found, however quickly others change. */
#define READ_ATTEMPTS 8

/* A word of any struct. */
typedef __u32 __attribute__((may_alias)) any_word;

/* What the hash FNV-1a of 32 bits multiplies by: an odd number, so that no bit is lost. */
#define FNV_PRIME 16777619

/* A sum of words, each times a power of its own: unlike in a hash, no step has to wait for the one before. */
static __always_inline __u32 sum_of(const any_word *words, unsigned int length, __u32 *power)
{
	__u32 sum = 0;
	for (unsigned int index = 0; index < length / sizeof(*words); index++) {
		sum += words[index] * *power;
		*power *= FNV_PRIME;
	}
	return sum;
}

static __always_inline __u32 check_of(const struct frontend *frontend, const struct service *service)
{
	__u32 power = FNV_PRIME;
	__u32 sum = sum_of((const any_word *)frontend, sizeof(*frontend), &power);
	return sum + sum_of((const any_word *)service, offsetof(struct service, check), &power);
}

/*
 * What happens to a frontend: 0 when there is nothing about it. In a copy, which is checked: the kernel gives the memory
 * of an entry that was replaced or deleted to the next one at once, and does not wait for programs that still read it
 * (since Linux 6.1, commit 0fd7c5d43339). They may find another service there, or parts of two.
 */
VERIFIED_ONCE int find_service(const struct frontend *frontend, struct service *service)
{
	if (!frontend || !service) return 0;
	/* A key is on the stack or in a map, before Linux 6.2 not what an argument points to. */
	struct frontend key = *frontend;
	for (int attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
		struct service *found = bpf_map_lookup_elem(&services, &key);
		if (!found) return 0;
		*service = *found;
		/* What was read is not to be read again where it may have changed. */
		barrier();
		if (service->check == check_of(&key, service)) return 1;
	}
	*service = (struct service){ .verdict = VERDICT_DROP };
	return 1;
}

/* The node port at an address of the node. */
static __always_inline int find_node_port(const struct frontend *frontend, struct service *service)
{
	__u32 *flags = bpf_map_lookup_elem(&node_addresses, &frontend->address);
	if (!flags || !(*flags & NODE_ADDRESS_PORTS)) return 0;
	struct frontend node_port = *frontend;
	node_port.address.word[3] = 0;
	if (!is_ipv4_address(&frontend->address)) __builtin_memset(&node_port.address, 0, sizeof(node_port.address));
	return find_service(&node_port, service);
}

/* What is to be refused although no service port takes it: the rest of a ClusterIP is rejected, that of the ranges of
 * service addresses dropped. -1 when the destination is none of ours. `service` is used to read into. */
static __always_inline int verdict_without_service(const struct frontend *frontend, struct service *service)
{
	struct frontend whole = { .address = frontend->address };
	if (find_service(&whole, service)) return service->verdict;
	struct range range = { .prefix = 8 * (sizeof(range) - sizeof(range.prefix)), .address = frontend->address };
	return bpf_map_lookup_elem(&service_cidrs, &range) ? VERDICT_DROP : -1;
}

static __always_inline int may_use(__u32 service, const struct address *source)
{
	struct range range = {
		.prefix = 8 * (sizeof(range) - sizeof(range.prefix)),
		.service = service,
		.address = *source,
	};
	return bpf_map_lookup_elem(&source_ranges, &range) != NULL;
}

static __always_inline void count_drop(__u32 reason)
{
	__u64 *count = bpf_map_lookup_elem(&drops, &reason);
	if (count) (*count)++;
}

/* This CPU's counters of a service that has had a connection and is still there. */
static __always_inline struct traffic *traffic_of(__u32 service)
{
	return bpf_map_lookup_elem(&counters, &service);
}

static __always_inline void count_connection(__u32 service)
{
	struct traffic *traffic = traffic_of(service);
	if (!traffic) {
		struct traffic none = {};
		bpf_map_update_elem(&counters, &service, &none, BPF_NOEXIST);
		traffic = traffic_of(service);
	}
	if (traffic) traffic->connections++;
}

/* ---- choice of an endpoint ---- */

struct search {
	const struct choice *choice;
	__u32 first;
	int found;
};

static long search_slot(__u32 index, struct search *search)
{
	__u32 slot = search->first + index;
	struct endpoint *endpoint = bpf_map_lookup_elem(&endpoints, &slot);
	if (!endpoint || endpoint->port != search->choice->port ||
	    !same_address(&endpoint->address, &search->choice->address))
		return 0;
	search->found = 1;
	return 1;
}

static __always_inline int has_endpoint(const struct list *list, const struct choice *choice)
{
	struct search search = { .choice = choice, .first = list->first };
	bpf_loop(list->count, search_slot, &search, 0);
	return search.found;
}

/* What has to come back to the same endpoint. */
struct memory {
	/* By whom it is remembered; of service 0: nothing is. */
	struct client client;
	/* For how many nanoseconds from the last time on, 0 for as long as the entry lives. */
	__u64 lifetime;
	/* The endpoints it may come back to. */
	struct list kept;
};

/* Whether a choice that was made before is still to be followed. */
static __always_inline int
recall(const struct service *service, const struct memory *memory, struct choice *choice, __u64 now)
{
	const struct list *kept = &memory->kept;
	/* Another processor may have used it since `now`. */
	if (memory->lifetime && (__s64)(now - choice->used) > (__s64)memory->lifetime) return 0;
	if (choice->first == kept->first && choice->generation == service->generation) return 1;
	struct choice wanted = *choice;
	if (!has_endpoint(kept, &wanted)) return 0;
	choice->first = kept->first;
	choice->generation = service->generation;
	return 1;
}

/*
 * Chooses an endpoint of a list: the one that is remembered, else the slot that `hash` falls on. 0 when the list is
 * empty. The endpoint's flags are not filled in.
 * choices: the map that remembers.
 */
static __always_inline int
choose_with(void *choices, const struct service *service, const struct list *list, const struct memory *memory, __u32 hash,
	    struct endpoint *chosen)
{
	int remembers = memory->client.service != 0;
	__u64 now = remembers ? bpf_ktime_get_ns() : 0;
	struct choice *remembered = remembers ? bpf_map_lookup_elem(choices, &memory->client) : NULL;
	if (remembered) {
		/* A copy: the entry may go to another client any time. What that one remembers is looked for in the list. */
		struct choice before = *remembered;
		barrier();
		if (recall(service, memory, &before, now)) {
			remembered->first = before.first;
			remembered->generation = before.generation;
			remembered->used = now;
			chosen->address = before.address;
			chosen->port = before.port;
			return 1;
		}
	}
	if (list->count == 0) return 0;
	__u32 slot = list->first + hash % list->count;
	struct endpoint *endpoint = bpf_map_lookup_elem(&endpoints, &slot);
	if (!endpoint) return 0;
	chosen->address = endpoint->address;
	chosen->port = endpoint->port;
	if (remembers) {
		struct choice choice = {
			.address = chosen->address,
			.port = chosen->port,
			.first = memory->kept.first,
			.generation = service->generation,
			.used = now,
		};
		bpf_map_update_elem(choices, &memory->client, &choice, BPF_ANY);
	}
	return 1;
}

static __always_inline int choose(const struct service *service, const struct list *list, const struct memory *memory,
				  __u32 hash, struct endpoint *chosen)
{
	return choose_with(&affinity, service, list, memory, hash, chosen);
}
