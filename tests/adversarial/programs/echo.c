/*
 * Answers every UDP datagram with itself: at once, or all that have arrived when it reads a line.
 *
 *   echo ADDRESS PORT at-once|by-line
 *
 * It closes its standard output when it is ready.
 */
#include "packets.h"

#define RECEIVE_BUFFER (64 << 20)
/* Bounded, because a forged datagram may have this server itself as its source. */
#define MAX_ANSWERS 4096

static void answer_all(int fd)
{
	static char datagram[65536];
	struct sockaddr_in client;
	socklen_t length = sizeof(client);
	for (int answers = 0; answers < MAX_ANSWERS; answers++) {
		long size = recvfrom(fd, datagram, sizeof(datagram), MSG_DONTWAIT, (void *)&client, &length);
		if (size < 0) return;
		sendto(fd, datagram, size, 0, (void *)&client, length);
		length = sizeof(client);
	}
}

/* Returns 0 at the end of standard input. */
static int wait_for_line(void)
{
	int character;
	do {
		character = getchar();
	} while (character != '\n' && character != EOF);
	return character != EOF;
}

static void wait_for_datagram(int fd)
{
	char first;
	recv(fd, &first, sizeof(first), MSG_PEEK);
}

int main(int argc, char **argv)
{
	const int buffer = RECEIVE_BUFFER;
	if (argc != 4) return 2;
	struct sockaddr_in here = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(parse_address(argv[1])),
		.sin_port = htons(atoi(argv[2])),
	};
	int is_by_line = strcmp(argv[3], "by-line") == 0;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
	if (bind(fd, (void *)&here, sizeof(here)) != 0) fail("bind");
	fclose(stdout);
	for (;;) {
		if (!is_by_line) wait_for_datagram(fd);
		else if (!wait_for_line()) return 0;
		answer_all(fd);
	}
}
