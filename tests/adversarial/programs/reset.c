/*
 * Opens connections, ends them with forged segments, and counts those that go on.
 *
 *   reset DEVICE NEXT_HOP ADDRESS PORT CONNECTIONS KIND SEQUENCE FORGED IDLE
 *
 * KIND is rst or fin. SEQUENCE is "random", or the distance from the sequence number that the peer expects. FORGED
 * segments are sent on each connection. IDLE is the number of seconds for which the connections then have no packets,
 * in which a connection that counts as closed is forgotten. Each connection sends a line and expects one, before and
 * after. It prints the number of connections that answered before, and of those that answered after.
 */
#include "packets.h"
#include <netinet/tcp.h>

#define MAX_CONNECTIONS 1024
#define ANSWERED_WITHIN_SECONDS 3
/* Random numbers this close to the expected one are not taken, because they could be valid. */
#define WINDOW (1 << 24)

static int connect_to(struct place to)
{
	const struct timeval timeout = { .tv_sec = ANSWERED_WITHIN_SECONDS };
	struct sockaddr_in server = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(to.address),
		.sin_port = htons(to.port),
	};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (connect(fd, (void *)&server, sizeof(server)) == 0) return fd;
	close(fd);
	return -1;
}

static int is_answered(int fd)
{
	char answer[256];
	return send(fd, "?\n", 2, MSG_NOSIGNAL) == 2 && recv(fd, answer, sizeof(answer), 0) > 0;
}

/* The sequence number of the next byte that the socket sends. */
static uint32_t next_sequence(int fd)
{
	const int on = TCP_REPAIR_ON, off = TCP_REPAIR_OFF_NO_WP, queue = 2; /* TCP_SEND_QUEUE, net/ipv4/tcp.c */
	uint32_t sequence = 0;
	socklen_t length = sizeof(sequence);
	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) != 0) fail("TCP_REPAIR");
	setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue));
	if (getsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &sequence, &length) != 0) fail("TCP_QUEUE_SEQ");
	setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off));
	return sequence;
}

static uint32_t far_from(uint32_t expected)
{
	uint32_t sequence;
	do {
		sequence = random_number();
	} while (sequence - expected + WINDOW < 2 * WINDOW);
	return sequence;
}

static void forge(struct outlet *outlet, int fd, struct place to, uint8_t flags, const char *sequence, int count)
{
	struct sockaddr_in client;
	socklen_t length = sizeof(client);
	getsockname(fd, (void *)&client, &length);
	struct place from = { ntohl(client.sin_addr.s_addr), ntohs(client.sin_port) };
	uint32_t expected = next_sequence(fd);
	for (int forged = 0; forged < count; forged++) {
		uint32_t number = strcmp(sequence, "random") == 0 ? far_from(expected) : expected + atoi(sequence);
		put_tcp(outlet, from, to, flags, number, flags & TCP_ACK ? random_number() : 0);
	}
	send_batch(outlet);
}

static int count_answered(int *connections, int count)
{
	int answered = 0;
	for (int index = 0; index < count; index++) answered += connections[index] >= 0 && is_answered(connections[index]);
	return answered;
}

int main(int argc, char **argv)
{
	static struct outlet outlet;
	int connections[MAX_CONNECTIONS];
	if (argc != 10) return 2;
	open_outlet(&outlet, argv[1], argv[2]);
	struct place to = { parse_address(argv[3]), atoi(argv[4]) };
	int count = atoi(argv[5]);
	uint8_t flags = strcmp(argv[6], "rst") == 0 ? TCP_RST : TCP_FIN | TCP_ACK;
	if (count > MAX_CONNECTIONS) return 2;
	for (int index = 0; index < count; index++) connections[index] = connect_to(to);
	int before = count_answered(connections, count);
	for (int index = 0; index < count; index++) {
		if (connections[index] >= 0) forge(&outlet, connections[index], to, flags, argv[7], atoi(argv[8]));
	}
	sleep(atoi(argv[9]));
	printf("%d %d\n", before, count_answered(connections, count));
}
