/*
 * TCP connections as fast as they can be made: each sends a byte, gets it back, and is closed by the client.
 *
 *   connections serve PORT
 *   connections ask ADDRESS PORT SECONDS SOURCE...
 *
 * Asks from eight processes, so that no processor waits, and from one source address after the other: otherwise the
 * client's ports would be what runs out first. Prints how many were answered and how many were not.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES 8
#define BACKLOG 4096
#define CONNECTIONS_FROM_A_SOURCE 500

struct count {
	long answered;
	long failed;
};

static double seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static struct sockaddr_in socket_address(const char *address, int port)
{
	struct sockaddr_in result = { .sin_family = AF_INET, .sin_port = htons(port) };
	if (inet_pton(AF_INET, address, &result.sin_addr) != 1) exit(2);
	return result;
}

static void serve(int port)
{
	const int yes = 1;
	struct sockaddr_in here = socket_address("0.0.0.0", port);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes));
	if (bind(listener, (void *)&here, sizeof(here)) != 0 || listen(listener, BACKLOG) != 0) exit(1);
	for (;;) {
		int client = accept(listener, NULL, NULL);
		char byte;
		while (read(client, &byte, 1) > 0 && write(client, &byte, 1) > 0) {}
		close(client);
	}
}

static int is_answered(const struct sockaddr_in *server, const char *source)
{
	const int yes = 1;
	const struct timeval patience = { .tv_sec = 1 };
	struct sockaddr_in here = socket_address(source, 0);
	int client = socket(AF_INET, SOCK_STREAM, 0);
	char byte = 'x';
	setsockopt(client, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof(yes));
	setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	int answered = bind(client, (void *)&here, sizeof(here)) == 0 &&
		       connect(client, (void *)server, sizeof(*server)) == 0 && write(client, &byte, 1) == 1 &&
		       read(client, &byte, 1) == 1;
	close(client);
	return answered;
}

static void ask(const struct sockaddr_in *server, double end, char **sources, int count, int process, struct count *done)
{
	for (long made = 0; seconds() < end; made++) {
		long turn = made / CONNECTIONS_FROM_A_SOURCE * PROCESSES + process;
		if (is_answered(server, sources[turn % count])) done->answered++;
		else done->failed++;
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "serve") == 0) {
		for (int process = 1; process < PROCESSES; process++) {
			if (fork() == 0) break;
		}
		serve(atoi(argv[2]));
	}
	if (argc < 6 || strcmp(argv[1], "ask") != 0) return 2;
	struct sockaddr_in server = socket_address(argv[2], atoi(argv[3]));
	double end = seconds() + atof(argv[4]);
	struct count *counts = mmap(NULL, PROCESSES * sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int process = 0; process < PROCESSES; process++) {
		if (fork() != 0) continue;
		ask(&server, end, argv + 5, argc - 5, process, &counts[process]);
		_exit(0);
	}
	while (wait(NULL) > 0) {}
	struct count all = {};
	for (int process = 0; process < PROCESSES; process++) {
		all.answered += counts[process].answered;
		all.failed += counts[process].failed;
	}
	printf("%ld %ld\n", all.answered, all.failed);
}
