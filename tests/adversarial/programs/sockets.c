/*
 * UDP sockets that are not connected.
 *
 *   sockets open ADDRESS PORT COUNT
 *   sockets ask ADDRESS PORT COUNT PATIENCE BYTES
 *
 * `open` opens sockets one after the other, each of which sends one datagram; the last MAX_OPEN of them stay open until
 * it ends, with its standard input. `ask` sends a datagram of BYTES bytes on each of its sockets, and prints "asked".
 * Then it prints how many got an answer of that size from the address and port that they sent to within PATIENCE seconds, and the number of datagrams
 * of another size that came from there before the answer.
 */
#include "packets.h"
#include <sys/resource.h>

#define MAX_OPEN 4096
#define MAX_DATAGRAM 65000

static struct sockaddr_in server;

static int send_on_new_socket(size_t bytes)
{
	static const char datagram[MAX_DATAGRAM];
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd < 0) fail("socket");
	if (sendto(fd, datagram, bytes, 0, (void *)&server, sizeof(server)) < 0) perror("sendto");
	return fd;
}

static void open_sockets(long count)
{
	static int sockets[MAX_OPEN];
	for (long index = 0; index < count; index++) {
		if (index >= MAX_OPEN) close(sockets[index % MAX_OPEN]);
		sockets[index % MAX_OPEN] = send_on_new_socket(1);
	}
	printf("%ld\n", count);
	fflush(stdout);
	while (getchar() != EOF) {}
}

struct tally {
	int answered;
	int forged;
};

/* Waits for the answer on a socket, until `end`. */
static void receive_answer(int fd, size_t bytes, double end, struct tally *tally)
{
	static char answer[MAX_DATAGRAM];
	struct sockaddr_in from;
	for (;;) {
		socklen_t length = sizeof(from);
		double left = end - now();
		struct timeval timeout = { .tv_sec = left > 0 ? left : 0, .tv_usec = 1000 };
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
		long size = recvfrom(fd, answer, sizeof(answer), 0, (void *)&from, &length);
		if (size < 0) return;
		int is_from_server = from.sin_addr.s_addr == server.sin_addr.s_addr && from.sin_port == server.sin_port;
		if (is_from_server && size != (long)bytes) tally->forged++;
		if (!is_from_server || size != (long)bytes) continue;
		tally->answered++;
		return;
	}
}

static void ask(int count, double patience, size_t bytes)
{
	static int sockets[MAX_OPEN];
	struct tally tally = {};
	for (int index = 0; index < count; index++) sockets[index] = send_on_new_socket(bytes);
	printf("asked\n");
	fflush(stdout);
	double end = now() + patience;
	for (int index = 0; index < count; index++) receive_answer(sockets[index], bytes, end, &tally);
	printf("%d %d\n", tally.answered, tally.forged);
}

int main(int argc, char **argv)
{
	const struct rlimit files = { 2 * MAX_OPEN, 2 * MAX_OPEN };
	if (argc < 5) return 2;
	setrlimit(RLIMIT_NOFILE, &files);
	server.sin_family = AF_INET;
	server.sin_addr.s_addr = htonl(parse_address(argv[2]));
	server.sin_port = htons(atoi(argv[3]));
	if (strcmp(argv[1], "open") == 0) open_sockets(atol(argv[4]));
	else if (argc == 7 && atoi(argv[4]) <= MAX_OPEN && atoi(argv[6]) <= MAX_DATAGRAM)
		ask(atoi(argv[4]), atof(argv[5]), atoi(argv[6]));
	else return 2;
}
