/*
 * Frames that the kernel's own sockets would not send: with any source, and at a high rate. They leave through an
 * AF_PACKET socket of one device, in batches.
 */
#pragma once

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define MAX_FRAME 128
#define IPV4_LENGTH 20
#define TCP_LENGTH 20
#define UDP_LENGTH 8
#define MORE_FRAGMENTS 0x2000

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

struct place {
	uint32_t address; /* host byte order */
	uint16_t port;
};

struct frame {
	uint8_t bytes[MAX_FRAME];
	unsigned int length;
};

/* A device, the link address of the next hop, and the frames of a batch. */
struct outlet {
	int socket;
	uint8_t next_hop[ETH_ALEN];
	struct frame frames[BATCH];
	unsigned int count;
};

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void pause_until(double time)
{
	double left = time - now();
	if (left > 0) usleep(left * 1e6);
}

/* xorshift64: fast, and the same in every run. */
static uint64_t random_number(void)
{
	static uint64_t state = 0x9e3779b97f4a7c15;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state >> 16;
}

static uint32_t parse_address(const char *text)
{
	struct in_addr address;
	if (inet_pton(AF_INET, text, &address) != 1) fail(text);
	return ntohl(address.s_addr);
}

/* Opens a packet socket on a device. It receives all frames that arrive there if `protocol` is ETH_P_ALL, none if 0. */
static int packet_socket(const char *device, int protocol)
{
	const int yes = 1;
	struct sockaddr_ll link = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(protocol),
		.sll_ifindex = if_nametoindex(device),
	};
	int fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (fd < 0 || link.sll_ifindex == 0) fail(device);
	setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof(yes));
	setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof(yes));
	if (bind(fd, (void *)&link, sizeof(link)) != 0) fail("bind");
	return fd;
}

static void open_outlet(struct outlet *outlet, const char *device, const char *next_hop)
{
	uint8_t *link = outlet->next_hop;
	outlet->socket = packet_socket(device, 0);
	outlet->count = 0;
	if (sscanf(next_hop, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", link, link + 1, link + 2, link + 3, link + 4, link + 5) != 6)
		fail(next_hop);
}

static void send_batch(struct outlet *outlet)
{
	struct mmsghdr messages[BATCH] = {};
	struct iovec parts[BATCH];
	for (unsigned int index = 0; index < outlet->count; index++) {
		parts[index] = (struct iovec){ outlet->frames[index].bytes, outlet->frames[index].length };
		messages[index].msg_hdr.msg_iov = &parts[index];
		messages[index].msg_hdr.msg_iovlen = 1;
	}
	/* A full queue of the device ends a batch early. */
	for (unsigned int sent = 0; sent < outlet->count;) {
		int count = sendmmsg(outlet->socket, messages + sent, outlet->count - sent, 0);
		if (count > 0) sent += count;
	}
	outlet->count = 0;
}

/* The frame to fill next. */
static struct frame *next_frame(struct outlet *outlet)
{
	if (outlet->count == BATCH) send_batch(outlet);
	return &outlet->frames[outlet->count++];
}

static uint32_t add_to_sum(uint32_t sum, const uint8_t *bytes, unsigned int length)
{
	for (unsigned int index = 0; index + 1 < length; index += 2) sum += bytes[index] << 8 | bytes[index + 1];
	return length % 2 ? sum + (bytes[length - 1] << 8) : sum;
}

static uint16_t folded(uint32_t sum)
{
	while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = value >> 8;
	at[1] = value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value);
}

static uint16_t get16(const uint8_t *at)
{
	return at[0] << 8 | at[1];
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

/* Writes the Ethernet and the IPv4 header, and returns the place of the payload, which is zero. */
static uint8_t *put_ipv4(struct outlet *outlet, struct frame *frame, uint32_t from, uint32_t to, uint8_t protocol,
			 uint16_t identification, uint16_t fragment, unsigned int payload)
{
	uint8_t *header = frame->bytes + ETH_HLEN;
	memset(frame->bytes, 0, sizeof(frame->bytes));
	memcpy(frame->bytes, outlet->next_hop, ETH_ALEN);
	frame->bytes[ETH_ALEN] = 2; /* a locally administered link address */
	put16(frame->bytes + 2 * ETH_ALEN, ETH_P_IP);
	header[0] = 0x45;
	put16(header + 2, IPV4_LENGTH + payload);
	put16(header + 4, identification);
	put16(header + 6, fragment);
	header[8] = 64;
	header[9] = protocol;
	put32(header + 12, from);
	put32(header + 16, to);
	put16(header + 10, folded(add_to_sum(0, header, IPV4_LENGTH)));
	frame->length = ETH_HLEN + IPV4_LENGTH + payload;
	return header + IPV4_LENGTH;
}

/* Writes the checksum of a payload at `at`. */
static void put_checksum(struct frame *frame, uint8_t *at, uint8_t protocol, unsigned int length)
{
	uint8_t *header = frame->bytes + ETH_HLEN;
	uint32_t sum = add_to_sum(protocol + length, header + 12, 8);
	put16(at, 0);
	put16(at, folded(add_to_sum(sum, header + IPV4_LENGTH, frame->length - ETH_HLEN - IPV4_LENGTH)));
}

static void put_tcp(struct outlet *outlet, struct place from, struct place to, uint8_t flags, uint32_t sequence,
		    uint32_t acknowledgement)
{
	struct frame *frame = next_frame(outlet);
	uint8_t *tcp = put_ipv4(outlet, frame, from.address, to.address, IPPROTO_TCP, 0, 0, TCP_LENGTH);
	put16(tcp, from.port);
	put16(tcp + 2, to.port);
	put32(tcp + 4, sequence);
	put32(tcp + 8, acknowledgement);
	tcp[12] = TCP_LENGTH / 4 << 4;
	tcp[13] = flags;
	put16(tcp + 14, 64240);
	put_checksum(frame, tcp + 16, IPPROTO_TCP, TCP_LENGTH);
}

/*
 * A UDP datagram of `payload` zero bytes, or the first fragment of one that is `missing` bytes longer. Without a
 * checksum, because those of fragments cannot be known.
 */
static void put_udp(struct outlet *outlet, struct place from, struct place to, unsigned int payload,
		    uint16_t identification, unsigned int missing)
{
	struct frame *frame = next_frame(outlet);
	uint8_t *udp = put_ipv4(outlet, frame, from.address, to.address, IPPROTO_UDP, identification,
				missing ? MORE_FRAGMENTS : 0, UDP_LENGTH + payload);
	put16(udp, from.port);
	put16(udp + 2, to.port);
	put16(udp + 4, UDP_LENGTH + payload + missing);
}

/* A later fragment: it begins `offset` bytes, a multiple of 8, after the IP header. */
static void put_later_fragment(struct outlet *outlet, uint32_t from, uint32_t to, unsigned int payload,
			       uint16_t identification, unsigned int offset)
{
	put_ipv4(outlet, next_frame(outlet), from, to, IPPROTO_UDP, identification, offset / 8, payload);
}

/* Sources of spoofed packets: the addresses of a prefix, with one port, or with any that is not reserved if that is 0. */
struct sources {
	uint32_t first;
	uint32_t count;
	uint16_t port;
};

/* Parses PREFIX or PREFIX:PORT. */
static struct sources parse_sources(const char *text)
{
	char address[INET_ADDRSTRLEN];
	int length, port = 0;
	if (sscanf(text, "%15[0-9.]/%d:%d", address, &length, &port) < 2) fail(text);
	return (struct sources){ parse_address(address), 1u << (32 - length), port };
}

static uint16_t random_port(void)
{
	return 1024 + random_number() % (65536 - 1024);
}

static struct place random_source(const struct sources *sources)
{
	return (struct place){ sources->first + random_number() % sources->count, sources->port ? sources->port : random_port() };
}
