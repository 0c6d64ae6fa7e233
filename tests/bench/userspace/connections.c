/*
 * Makes TCP connections as fast as possible. On each connection the client sends a byte, reads it back and closes.
 *
 *   connections serve PORT
 *   connections connect ADDRESS PORT SECONDS SOURCE...
 *   connections paced ADDRESS PORT SECONDS RATE SOURCE...
 *   connections hold ADDRESS PORT COUNT
 *
 * The client runs eight processes, so that no processor is idle. It uses one source address after the other, because
 * the ports of a single address would run out. It prints the number of answered and of failed connections. `paced`
 * makes RATE connections per second, and also prints the median and the 99th percentile of the time from connect() to
 * the answer, in microseconds. `hold` makes connections, prints their number when all
 * have been answered or one has not, and keeps them until it is killed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES 8
#define BACKLOG 4096
#define CONNECTIONS_PER_SOURCE 500
/* Per process. */
#define MAX_SAMPLES 1000000

struct count {
	long answered;
	long failed;
	/* Microseconds of each answered connection; undefined without a pace. */
	float *times;
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
			  struct count *count, double interval)
{
	double next = seconds() + interval * process / PROCESSES;
	for (long n = 0; seconds() < end; n++) {
		long source = n / CONNECTIONS_PER_SOURCE * PROCESSES + process;
		/* A late connection counts from when it was due, or a pause of the server would show in one only. */
		double start = next;
		if (count->times) {
			double wait = start - seconds();
			if (wait > 0) usleep(wait * 1e6);
			next += interval;
		}
		if (!is_answered(server, sources[source % source_count])) {
			count->failed++;
			continue;
		}
		if (count->times && count->answered < MAX_SAMPLES) count->times[count->answered] = (seconds() - start) * 1e6;
		count->answered++;
	}
}

static void hold(const struct sockaddr_in *server, int count)
{
	const struct timeval timeout = { .tv_sec = 2 };
	int held = 0;
	for (; held < count; held++) {
		int client = socket(AF_INET, SOCK_STREAM, 0);
		char byte = 'x';
		setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
		if (client < 0 || connect(client, (void *)server, sizeof(*server)) != 0 || write(client, &byte, 1) != 1 ||
		    read(client, &byte, 1) != 1) break;
	}
	printf("%d\n", held);
	fflush(stdout);
	pause();
}

static void *shared(size_t size)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static int compare(const void *one, const void *other)
{
	float difference = *(const float *)one - *(const float *)other;
	return (difference > 0) - (difference < 0);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "serve") == 0) {
		for (int process = 1; process < PROCESSES; process++) {
			if (fork() != 0) continue;
			/* They end with the first process. */
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			break;
		}
		serve(atoi(argv[2]));
	}
	if (argc < 5) return 2;
	struct sockaddr_in server = socket_address(argv[2], atoi(argv[3]));
	if (strcmp(argv[1], "hold") == 0) hold(&server, atoi(argv[4]));
	int is_paced = strcmp(argv[1], "paced") == 0, first_source = is_paced ? 6 : 5;
	if (argc <= first_source || (!is_paced && strcmp(argv[1], "connect") != 0)) return 2;
	double end = seconds() + atof(argv[4]), interval = is_paced ? PROCESSES / atof(argv[5]) : 0;
	struct count *counts = shared(PROCESSES * sizeof(*counts));
	for (int process = 0; process < PROCESSES; process++) {
		if (is_paced) counts[process].times = shared(MAX_SAMPLES * sizeof(float));
		if (fork() != 0) continue;
		connect_until(&server, end, argv + first_source, argc - first_source, process, &counts[process], interval);
		_exit(0);
	}
	while (wait(NULL) > 0) {}
	struct count total = {};
	for (int process = 0; process < PROCESSES; process++) {
		total.answered += counts[process].answered;
		total.failed += counts[process].failed;
	}
	printf("%ld %ld", total.answered, total.failed);
	if (is_paced && total.answered) {
		float *times = malloc(total.answered * sizeof(*times));
		long count = 0;
		for (int process = 0; process < PROCESSES; process++) {
			long samples = counts[process].answered < MAX_SAMPLES ? counts[process].answered : MAX_SAMPLES;
			memcpy(times + count, counts[process].times, samples * sizeof(*times));
			count += samples;
		}
		qsort(times, count, sizeof(*times), compare);
		printf(" %.0f %.0f", times[count / 2], times[count * 99 / 100]);
	}
	printf("\n");
}
