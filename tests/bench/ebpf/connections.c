/*
 * Makes TCP connections through a node as fast as possible, each with one byte in either direction, and measures how
 * long each takes.
 *
 *   connections ADDRESS PORT SECONDS PROCESSES POD[,POD...] SOURCE...
 *
 * Runs in the client's network namespace. POD are names of network namespaces in which it listens. One process per CPU
 * has both ends of its connections: process N connects to ADDRESS and PORT + N, and listens in each pod on PORT + N.
 * The kernel handles all packets of a connection while the process sends, so no process ever waits for another one, and
 * the time of a connection is what all stacks on its way need. It takes one SOURCE address after the other, because
 * the ports of a single one would run out. Prints the number of answered and of failed connections, and the median of
 * their times in nanoseconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG 128
#define CONNECTIONS_PER_SOURCE 500
#define PATIENCE_MS 1000
#define MAX_PODS 8
#define MAX_PROCESSES 8
/* Times are counted in steps of 50 ns, up to 1 ms. */
#define STEP 50
#define STEPS 20000

struct result {
	long answered;
	long failed;
	long times[STEPS];
};

static long nanoseconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000 + now.tv_nsec;
}

static void require(int is_fulfilled, const char *what)
{
	if (is_fulfilled) return;
	perror(what);
	exit(1);
}

static struct sockaddr_in socket_address(const char *address, int port)
{
	struct sockaddr_in result = { .sin_family = AF_INET, .sin_port = htons(port) };
	require(inet_pton(AF_INET, address, &result.sin_addr) == 1, address);
	return result;
}

static int is_readable(struct pollfd *sockets, int count)
{
	return poll(sockets, count, PATIENCE_MS) > 0;
}

/* ---- the ends of connections ---- */

static int listen_in(const char *pod, int port)
{
	char path[256];
	const int yes = 1;
	struct sockaddr_in here = socket_address("0.0.0.0", port);
	snprintf(path, sizeof(path), "/run/netns/%s", pod);
	int home = open("/proc/self/ns/net", O_RDONLY), namespace = open(path, O_RDONLY);
	require(namespace >= 0 && setns(namespace, CLONE_NEWNET) == 0, path);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	require(bind(listener, (void *)&here, sizeof(here)) == 0 && listen(listener, BACKLOG) == 0, "listen");
	require(setns(home, CLONE_NEWNET) == 0, "setns");
	close(namespace);
	close(home);
	return listener;
}

static int accept_any(struct pollfd *listeners, int count)
{
	if (!is_readable(listeners, count)) return -1;
	for (int index = 0; index < count; index++) {
		if (listeners[index].revents) return accept(listeners[index].fd, NULL, NULL);
	}
	return -1;
}

/* Closes connections whose clients have given up. */
static void forget(struct pollfd *listeners, int count)
{
	for (int index = 0; index < count; index++) {
		int server;
		while ((server = accept(listeners[index].fd, NULL, NULL)) >= 0) close(server);
	}
}

static int has_passed(int from, int to)
{
	char byte = 'x';
	struct pollfd readable = { .fd = to, .events = POLLIN };
	if (write(from, &byte, 1) != 1) return 0;
	return recv(to, &byte, 1, MSG_DONTWAIT) == 1 || (is_readable(&readable, 1) && read(to, &byte, 1) == 1);
}

static int is_answered(const struct sockaddr_in *service, const char *source, struct pollfd *listeners, int count)
{
	const int yes = 1;
	struct sockaddr_in here = socket_address(source, 0);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(client, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof(yes));
	require(bind(client, (void *)&here, sizeof(here)) == 0, source);
	connect(client, (void *)service, sizeof(*service));
	int server = accept_any(listeners, count);
	int is_complete = server >= 0 && has_passed(client, server) && has_passed(server, client);
	close(client);
	if (server >= 0) close(server);
	return is_complete;
}

/* ---- measurement ---- */

static void measure(const struct sockaddr_in *service, long end, struct pollfd *listeners, int count, char **sources,
		    int source_count, struct result *result)
{
	for (long n = 0; nanoseconds() < end; n++) {
		const char *source = sources[n / CONNECTIONS_PER_SOURCE % source_count];
		long before = nanoseconds();
		if (!is_answered(service, source, listeners, count)) {
			result->failed++;
			forget(listeners, count);
			continue;
		}
		long step = (nanoseconds() - before) / STEP;
		result->answered++;
		result->times[step < STEPS ? step : STEPS - 1]++;
	}
}

static void run_on(int cpu)
{
	cpu_set_t cpus;
	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	require(sched_setaffinity(0, sizeof(cpus), &cpus) == 0, "sched_setaffinity");
}

static long median_of(const struct result *result)
{
	long seen = 0;
	for (int step = 0; step < STEPS; step++) {
		seen += result->times[step];
		if (seen > result->answered / 2) return (long)step * STEP;
	}
	return 0;
}

static void print(const struct result *results, int processes)
{
	static struct result total;
	for (int process = 0; process < processes; process++) {
		total.answered += results[process].answered;
		total.failed += results[process].failed;
		for (int step = 0; step < STEPS; step++) total.times[step] += results[process].times[step];
	}
	printf("%ld %ld %ld\n", total.answered, total.failed, median_of(&total));
}

int main(int argc, char **argv)
{
	if (argc < 7) return 2;
	int port = atoi(argv[2]), processes = atoi(argv[4]), source_count = argc - 6;
	require(processes > 0 && processes <= MAX_PROCESSES, "PROCESSES");
	long end = nanoseconds() + atof(argv[3]) * 1e9;
	size_t size = processes * sizeof(struct result);
	struct result *results = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int process = 0; process < processes; process++) {
		if (fork() != 0) continue;
		struct pollfd listeners[MAX_PODS];
		int count = 0;
		for (char *pod = strtok(argv[5], ","); pod && count < MAX_PODS; pod = strtok(NULL, ","))
			listeners[count++] = (struct pollfd){ .fd = listen_in(pod, port + process), .events = POLLIN };
		struct sockaddr_in service = socket_address(argv[1], port + process);
		run_on(process);
		/* Each process has sources of its own. */
		int share = source_count / processes;
		measure(&service, end, listeners, count, argv + 6 + process * share, share, &results[process]);
		_exit(0);
	}
	int status, has_failed = 0;
	while (wait(&status) > 0) has_failed |= status;
	if (has_failed) return 1;
	print(results, processes);
	return 0;
}
