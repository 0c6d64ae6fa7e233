/*
 * Makes TCP connections as fast as possible. On each connection the client sends a byte, reads it back and closes.
 *
 *   connections serve PORT
 *   connections connect ADDRESS PORT SECONDS SOURCE...
 *
 * The client runs eight processes, so that no processor is idle. It uses one source address after the other, because
 * the ports of a single address would run out. It prints the number of answered and of failed connections.
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
#define CONNECTIONS_PER_SOURCE 500

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
	const struct timeval timeout = { .tv_sec = 1 };
	struct sockaddr_in here = socket_address(source, 0);
	int client = socket(AF_INET, SOCK_STREAM, 0);
	char byte = 'x';
	setsockopt(client, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof(yes));
	setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	int answered = bind(client, (void *)&here, sizeof(here)) == 0 &&
		       connect(client, (void *)server, sizeof(*server)) == 0 && write(client, &byte, 1) == 1 &&
		       read(client, &byte, 1) == 1;
	close(client);
	return answered;
}

static void connect_until(const struct sockaddr_in *server, double end, char **sources, int source_count, int process,
			  struct count *count)
{
	for (long n = 0; seconds() < end; n++) {
		long source = n / CONNECTIONS_PER_SOURCE * PROCESSES + process;
		if (is_answered(server, sources[source % source_count])) count->answered++;
		else count->failed++;
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
	if (argc < 6 || strcmp(argv[1], "connect") != 0) return 2;
	struct sockaddr_in server = socket_address(argv[2], atoi(argv[3]));
	double end = seconds() + atof(argv[4]);
	struct count *counts = mmap(NULL, PROCESSES * sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int process = 0; process < PROCESSES; process++) {
		if (fork() != 0) continue;
		connect_until(&server, end, argv + 5, argc - 5, process, &counts[process]);
		_exit(0);
	}
	while (wait(NULL) > 0) {}
	struct count total = {};
	for (int process = 0; process < PROCESSES; process++) {
		total.answered += counts[process].answered;
		total.failed += counts[process].failed;
	}
	printf("%ld %ld\n", total.answered, total.failed);
}
