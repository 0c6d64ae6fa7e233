/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Lookup of services by address, and choice of an endpoint. Shared by the programs of sockets and of packets.
 */
#pragma once

#include <linux/in.h>
#include <stddef.h>
#include "address.h"

/*
 * Marks a global function. The verifier processes a global function once, but a static one again for each
 * caller. For global functions it assumes nothing about the arguments: pointers may be NULL.
 */
#define VERIFIED_ONCE __attribute__((noinline))

#define NANOSECONDS 1000000000ULL

static __always_inline struct settings *settings_of_node(void)
{
	__u32 only = 0;
	return bpf_map_lookup_elem(&node_settings, &only);
}

/* ---- lookup of services ---- */

/* Enough to find an existing service, however fast other services change. */
#define READ_ATTEMPTS 8

/* A word of any struct. */
typedef __u32 __attribute__((may_alias)) any_word;

/* Multiplier of the 32-bit hash FNV-1a. It is odd, so that no bit is lost. */
#define FNV_PRIME 16777619

/*
 * Sums words, each multiplied by its own power. Unlike in a hash, no step depends on the result of the
 * previous one.
 */
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
 * Copies the service of a frontend; returns 0 if there is none. The copy is verified by its checksum: since
 * Linux 6.1 (commit 0fd7c5d43339) the kernel reuses the memory of a replaced or deleted entry at once,
 * without waiting for programs that still read it. They may find another service there, or parts of two.
 */
VERIFIED_ONCE int find_service(const struct frontend *frontend, struct service *service)
{
	if (!frontend || !service) return 0;
	/* Before Linux 6.2 a key must be on the stack or in a map; an argument is not accepted. */
	struct frontend key = *frontend;
	for (int attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
		struct service *found = bpf_map_lookup_elem(&services, &key);
		if (!found) return 0;
		*service = *found;
		/* Use the copy only: the entry must not be read again, because it may have changed. */
		barrier();
		if (service->check == check_of(&key, service)) return 1;
	}
	*service = (struct service){ .verdict = VERDICT_DROP };
	return 1;
}

/*
 * Copies the service at a destination; returns 0 if there is none. Unlike find_service() it finds no node port by the
 * unspecified address, which in `services` stands for the node's addresses.
 */
static __always_inline int find_destination(const struct frontend *destination, struct service *service)
{
	return !is_unspecified(&destination->address) && find_service(destination, service);
}

/* Copies the service whose node port is reachable at the frontend's address; returns 0 if there is none. */
static __always_inline int find_node_port(const struct frontend *frontend, struct service *service)
{
	__u32 *flags = bpf_map_lookup_elem(&node_addresses, &frontend->address);
	if (!flags || !(*flags & NODE_ADDRESS_PORTS)) return 0;
	struct frontend node_port = *frontend;
	node_port.address.word[3] = 0;
	if (!is_ipv4_address(&frontend->address)) __builtin_memset(&node_port.address, 0, sizeof(node_port.address));
	return find_service(&node_port, service);
}

/*
 * Returns the verdict on a destination that belongs to no service port: VERDICT_REJECT for other ports of a
 * ClusterIP, VERDICT_DROP for other addresses in the ranges of service addresses, NO_VERDICT for all others.
 * `service` is a scratch buffer.
 */
static __always_inline int verdict_without_service(const struct frontend *frontend, struct service *service)
{
	struct frontend whole = { .address = frontend->address };
	if (find_service(&whole, service)) return service->verdict;
	struct range range = { .prefix = 8 * (sizeof(range) - sizeof(range.prefix)), .address = frontend->address };
	__s32 *verdict = bpf_map_lookup_elem(&service_cidrs, &range);
	return verdict ? *verdict : NO_VERDICT;
}

static __always_inline int is_source_allowed(__u32 service, const struct address *source)
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

static __always_inline enum frontend_kind kind_of(const struct service *service)
{
	return service->flags / SERVICE_KIND % FRONTEND_KINDS;
}

/* The key of the counters of a service's frontends of one kind. */
static __always_inline __u32 counters_key(__u32 service, enum frontend_kind kind)
{
	return service * FRONTEND_KINDS + kind;
}

/* Returns this CPU's counters; NULL if they have counted nothing or the service is gone. */
static __always_inline struct traffic *traffic_of(__u32 key)
{
	return bpf_map_lookup_elem(&counters, &key);
}

/* Returns this CPU's counters, and creates them if there are none; NULL if that fails. */
static __always_inline struct traffic *existing_traffic_of(__u32 key)
{
	struct traffic *traffic = traffic_of(key);
	if (traffic) return traffic;
	struct traffic none = {};
	bpf_map_update_elem(&counters, &key, &none, BPF_NOEXIST);
	return traffic_of(key);
}

/* Counts a connection. Returns the counters; NULL if there is no memory for them. */
static __always_inline struct traffic *count_connection(__u32 key)
{
	struct traffic *traffic = existing_traffic_of(key);
	if (traffic) traffic->connections++;
	return traffic;
}

/* Counts a rejected or dropped packet or socket of a service. `reason` is less than REFUSAL_REASONS. */
VERIFIED_ONCE int count_refusal(const struct service *service, __u32 reason)
{
	if (!service) return 0;
	struct traffic *traffic = existing_traffic_of(counters_key(service->id, kind_of(service)));
	if (traffic && reason < REFUSAL_REASONS) traffic->refused[reason]++;
	count_drop(reason);
	return 0;
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

/* Properties that keep a client on one endpoint. */
struct stickiness {
	/* Key of the remembered choice. If its service is 0, nothing is remembered. */
	struct client client;
	/* How long a choice is valid after its last use, in nanoseconds. */
	__u64 lifetime;
	/* The endpoints that a remembered choice may refer to. */
	struct list kept;
};

/*
 * Selects a slot for a client whose choice is not remembered. With affinity it is the same slot every time, so that a
 * client whose entry was evicted returns to its endpoint as long as the list is the same. The words are mixed by the
 * finalizer of MurmurHash3, because the slot depends on the low bits.
 */
static __always_inline __u32 hash_for(const struct stickiness *sticky)
{
	if (sticky->client.service == 0) return bpf_get_prandom_u32();
	__u32 power = FNV_PRIME;
	__u32 hash = sum_of((const any_word *)&sticky->client, sizeof(sticky->client), &power);
	hash ^= hash >> 16;
	hash *= 0x85ebca6b;
	hash ^= hash >> 13;
	hash *= 0xc2b2ae35;
	return hash ^ hash >> 16;
}

/* Brings a choice up to date with the service; returns 0 if the service's list `kept` has lost its endpoint. */
static __always_inline int revalidate(const struct service *service, const struct list *kept, struct choice *choice)
{
	if (choice->first == kept->first && choice->generation == service->generation) return 1;
	if (!has_endpoint(kept, choice)) return 0;
	choice->first = kept->first;
	choice->generation = service->generation;
	return 1;
}

static __always_inline int
choose_slot(const struct list *list, __u32 hash, struct endpoint *chosen)
{
	if (list->count == 0) return 0;
	__u32 slot = list->first + hash % list->count;
	struct endpoint *endpoint = bpf_map_lookup_elem(&endpoints, &slot);
	if (!endpoint) return 0;
	chosen->address = endpoint->address;
	chosen->port = endpoint->port;
	return 1;
}

/*
 * Chooses an endpoint of a list: the remembered one, or else the slot selected by `hash`. Returns 0 if the
 * list is empty. The endpoint's flags are not set. `choices` is the map of remembered choices.
 */
static __always_inline int choose(void *choices, const struct service *service, const struct list *list,
				  const struct stickiness *sticky, __u32 hash, struct endpoint *chosen)
{
	if (sticky->client.service == 0) return choose_slot(list, hash, chosen);
	__u64 now = bpf_ktime_get_ns();
	struct choice *remembered = bpf_map_lookup_elem(choices, &sticky->client);
	struct choice choice = {};
	if (remembered) {
		/*
		 * A copy, because the kernel may give the entry to another client at any time. The choice of
		 * that client would be looked up in the list.
		 */
		choice = *remembered;
		barrier();
		/* Signed, because another CPU may have used it after `now`. */
		int is_expired = (__s64)(now - choice.used) > (__s64)sticky->lifetime;
		if (!is_expired && revalidate(service, &sticky->kept, &choice)) {
			remembered->first = choice.first;
			remembered->generation = choice.generation;
			remembered->used = now;
			chosen->address = choice.address;
			chosen->port = choice.port;
			return 1;
		}
		/* A client that comes back later may get another endpoint. */
		if (is_expired && !(service->flags & SERVICE_MAGLEV)) hash = bpf_get_prandom_u32();
	}
	if (!choose_slot(list, hash, chosen)) return 0;
	choice.address = chosen->address;
	choice.port = chosen->port;
	choice.first = sticky->kept.first;
	choice.generation = service->generation;
	choice.used = now;
	bpf_map_update_elem(choices, &sticky->client, &choice, BPF_ANY);
	return 1;
}
