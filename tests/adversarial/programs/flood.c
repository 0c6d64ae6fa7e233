/*
 * Sends packets from random sources at a fixed rate.
 *
 *   flood DEVICE NEXT_HOP KIND SOURCES ADDRESS PORT COUNT PER_SECOND SECONDS
 *
 * NEXT_HOP is a link address, SOURCES a prefix or PREFIX:PORT. PORT 0 stands for a random port per packet. It prints the number of packets and the seconds that they took.
 */
#include "packets.h"

#define FRAGMENT_BYTES 24

static void put_tcp_segment(struct outlet *outlet, struct place from, struct place to, uint8_t flags)
{
	put_tcp(outlet, from, to, flags, random_number(), flags & TCP_ACK ? random_number() : 0);
}

static void put_syn(struct outlet *outlet, struct place from, struct place to)
{
	put_tcp_segment(outlet, from, to, TCP_SYN);
}

static void put_syn_ack(struct outlet *outlet, struct place from, struct place to)
{
	put_tcp_segment(outlet, from, to, TCP_SYN | TCP_ACK);
}

static void put_ack(struct outlet *outlet, struct place from, struct place to)
{
	put_tcp_segment(outlet, from, to, TCP_ACK);
}

static void put_datagram(struct outlet *outlet, struct place from, struct place to)
{
	put_udp(outlet, from, to, 0, 0, 0);
}

/* The first fragment of a datagram whose other fragments never come. */
static void put_first_fragment(struct outlet *outlet, struct place from, struct place to)
{
	put_udp(outlet, from, to, FRAGMENT_BYTES - UDP_LENGTH, random_number(), FRAGMENT_BYTES);
}

/* A last fragment whose datagram never began. */
static void put_last_fragment(struct outlet *outlet, struct place from, struct place to)
{
	put_later_fragment(outlet, from.address, to.address, FRAGMENT_BYTES, random_number(), FRAGMENT_BYTES);
}

/* A datagram whose last fragment overwrites a part of the first one, its ports included. */
static void put_overlapping_fragments(struct outlet *outlet, struct place from, struct place to)
{
	uint16_t identification = random_number();
	put_udp(outlet, from, to, FRAGMENT_BYTES - UDP_LENGTH, identification, FRAGMENT_BYTES);
	put_later_fragment(outlet, from.address, to.address, FRAGMENT_BYTES, identification, UDP_LENGTH);
}

static const struct kind {
	const char *name;
	void (*put)(struct outlet *outlet, struct place from, struct place to);
} kinds[] = {
	{ "syn", put_syn },
	{ "syn-ack", put_syn_ack },
	{ "ack", put_ack },
	{ "udp", put_datagram },
	{ "first-fragment", put_first_fragment },
	{ "last-fragment", put_last_fragment },
	{ "overlapping-fragment", put_overlapping_fragments },
};

static const struct kind *kind_called(const char *name)
{
	for (unsigned int index = 0; index < sizeof(kinds) / sizeof(*kinds); index++) {
		if (strcmp(kinds[index].name, name) == 0) return &kinds[index];
	}
	fail(name);
	return NULL;
}

int main(int argc, char **argv)
{
	static struct outlet outlet;
	if (argc != 10) return 2;
	open_outlet(&outlet, argv[1], argv[2]);
	const struct kind *kind = kind_called(argv[3]);
	struct sources sources = parse_sources(argv[4]);
	struct place to = { parse_address(argv[5]), atoi(argv[6]) };
	long count = atol(argv[7]), sent = 0;
	double per_second = atof(argv[8]), limit = atof(argv[9]), start = now();
	for (; sent < count; sent++) {
		if (sent % BATCH == 0) {
			if (limit > 0 && now() > start + limit) break;
			pause_until(start + sent / per_second);
		}
		struct place target = to.port ? to : (struct place){ to.address, random_port() };
		kind->put(&outlet, random_source(&sources), target);
	}
	send_batch(&outlet);
	printf("%ld\n", sent);
}
