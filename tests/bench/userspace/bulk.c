/*
 * Sends and receives bulk data over TCP.
 *
 *   bulk serve DIRECTORY PORT            reads everything, and counts it in the file DIRECTORY/received
 *   bulk send DIRECTORY ADDRESS PORT CONNECTIONS SECONDS
 *                                        prints the bytes per second that the server has received
 *   bulk echo PORT                       sends back what it receives, on many connections
 *   bulk hold PORT                       accepts and never reads
 *   bulk fill ADDRESS PORT SECONDS       sends; prints the bytes that were accepted from it
 *   bulk check PORT                      reads slowly, and answers how many bytes arrived as they were sent
 *   bulk transfer ADDRESS PORT BYTES     sends so many bytes and the end of the stream; prints the answer
 *
 * The receiver counts, because a relay may accept data that it never delivers.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 256
/* Until the connections have their full speed. */
#define WARM_UP 0.5

static char buffer[256 * 1024];
static volatile unsigned long long *received_bytes;

static double seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static void open_counter(const char *directory)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/received", directory);
	int file = open(path, O_RDWR | O_CREAT, 0600);
	if (file < 0 || ftruncate(file, 4096) != 0) exit(1);
	received_bytes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
}

static int listen_on(int port, int flags)
{
	const int yes = 1;
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(port) };
	int listener = socket(AF_INET, SOCK_STREAM | flags, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(listener, (void *)&here, sizeof(here)) != 0 || listen(listener, 4096) != 0) exit(1);
	return listener;
}

static int connect_to(const char *address, int port)
{
	struct sockaddr_in server = { .sin_family = AF_INET, .sin_port = htons(port) };
	int client = socket(AF_INET, SOCK_STREAM, 0);
	if (inet_pton(AF_INET, address, &server.sin_addr) != 1) exit(2);
	if (connect(client, (void *)&server, sizeof(server)) != 0) {
		perror("connect");
		exit(1);
	}
	return client;
}

static void watch(int poll_fd, int fd, unsigned int events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };
	epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void serve(int port, int is_echo)
{
	int listener = listen_on(port, SOCK_NONBLOCK), poll_fd = epoll_create1(0);
	struct epoll_event events[EVENTS];
	watch(poll_fd, listener, EPOLLIN);
	for (;;) {
		int count = epoll_wait(poll_fd, events, EVENTS, -1);
		for (int index = 0; index < count; index++) {
			int fd = events[index].data.fd;
			if (fd == listener) {
				int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
				if (client >= 0) watch(poll_fd, client, EPOLLIN);
				continue;
			}
			ssize_t length = recv(fd, buffer, sizeof(buffer), 0);
			if (length > 0 && is_echo) send(fd, buffer, length, 0);
			else if (length > 0) *received_bytes += length;
			else if (length == 0 || errno != EAGAIN) close(fd);
		}
	}
}

static void send_for(const char *address, int port, int connections, double duration)
{
	int poll_fd = epoll_create1(0);
	struct epoll_event events[EVENTS];
	for (int index = 0; index < connections; index++) {
		int client = connect_to(address, port);
		fcntl(client, F_SETFL, O_NONBLOCK);
		watch(poll_fd, client, EPOLLOUT);
	}
	double start = seconds() + WARM_UP, started = 0;
	unsigned long long before = 0;
	for (double now = seconds(); !started || now < started + duration; now = seconds()) {
		if (!started && now >= start) before = *received_bytes, started = now;
		int count = epoll_wait(poll_fd, events, EVENTS, 100);
		for (int index = 0; index < count; index++) {
			ssize_t sent = send(events[index].data.fd, buffer, sizeof(buffer), 0);
			if (sent < 0 && errno != EAGAIN) exit(1);
		}
	}
	printf("%.0f\n", (*received_bytes - before) / (seconds() - started));
}

static void hold(int port)
{
	int listener = listen_on(port, 0);
	while (accept(listener, NULL, NULL) >= 0) {}
}

static void fill(const char *address, int port, double duration)
{
	int client = connect_to(address, port);
	unsigned long long accepted = 0;
	fcntl(client, F_SETFL, O_NONBLOCK);
	for (double end = seconds() + duration; seconds() < end;) {
		ssize_t sent = send(client, buffer, sizeof(buffer), 0);
		if (sent > 0) accepted += sent;
		else usleep(1000);
	}
	printf("%llu\n", accepted);
}

static char pattern(unsigned long long offset)
{
	return (offset * 2654435761u >> 13) ^ (offset >> 16);
}

static void check(int port)
{
	int listener = listen_on(port, 0);
	for (;;) {
		int client = accept(listener, NULL, NULL);
		if (fork() != 0) {
			close(client);
			continue;
		}
		unsigned long long offset = 0, right = 0;
		for (ssize_t length; (length = recv(client, buffer, 16 * 1024, 0)) > 0; usleep(200)) {
			for (ssize_t index = 0; index < length; index++) right += buffer[index] == pattern(offset + index);
			offset += length;
		}
		/* The answer comes after the end of the request, through a connection that is half closed. */
		usleep(20 * 1000);
		send(client, &right, sizeof(right), 0);
		_exit(0);
	}
}

static void transfer(const char *address, int port, unsigned long long total)
{
	int client = connect_to(address, port);
	for (unsigned long long offset = 0; offset < total;) {
		size_t length = total - offset < sizeof(buffer) ? total - offset : sizeof(buffer);
		for (size_t index = 0; index < length; index++) buffer[index] = pattern(offset + index);
		for (size_t from = 0; from < length;) {
			ssize_t sent = send(client, buffer + from, length - from, 0);
			if (sent < 0) exit(1);
			from += sent;
		}
		offset += length;
	}
	const struct timeval limit = { .tv_sec = 20 };
	unsigned long long right = 0;
	setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	shutdown(client, SHUT_WR);
	recv(client, &right, sizeof(right), MSG_WAITALL);
	printf("%llu\n", right);
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	if (!strcmp(command, "serve") && argc == 4) open_counter(argv[2]), serve(atoi(argv[3]), 0);
	else if (!strcmp(command, "echo") && argc == 3) serve(atoi(argv[2]), 1);
	else if (!strcmp(command, "send") && argc == 7)
		open_counter(argv[2]), send_for(argv[3], atoi(argv[4]), atoi(argv[5]), atof(argv[6]));
	else if (!strcmp(command, "hold") && argc == 3) hold(atoi(argv[2]));
	else if (!strcmp(command, "fill") && argc == 5) fill(argv[2], atoi(argv[3]), atof(argv[4]));
	else if (!strcmp(command, "check") && argc == 3) check(atoi(argv[2]));
	else if (!strcmp(command, "transfer") && argc == 5) transfer(argv[2], atoi(argv[3]), atoll(argv[4]));
	else return 2;
}
