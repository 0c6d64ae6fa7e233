/*
 * A TCP relay that moves bytes in one of three ways, for comparing them.
 *
 *   movers copy|splice|sockmap PORT ADDRESS TARGET-PORT BPF-OBJECT
 *
 * copy: recv and send with one buffer. splice: a pipe per direction. sockmap: the program of BPF-OBJECT. One thread
 * with epoll, edge-triggered.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK (256 * 1024)
/* Calls in a row for one direction, so that one connection does not delay the others. */
#define CALLS 16
#define EVENTS 256

struct connection;

/* One socket of a connection, and what it has received that the other one has not sent. */
struct side {
	int fd;
	int has_ended;
	int has_shut_down;
	int pipe[2];
	char *pending;
	size_t pending_from, pending_length;
	/* sockmap: bytes acknowledged before the relaying began */
	unsigned long long acknowledged_before;
	struct connection *connection;
};

struct connection {
	struct side sides[2];
	int is_in_map, is_dead;
	struct connection *next_dead;
};

enum mover { COPY, SPLICE, SOCKMAP };

static enum mover mover;
static int poll_fd, map_fd;
static char buffer[CHUNK];

static struct tcp_info tcp_info_of(int fd)
{
	struct tcp_info info = {};
	socklen_t length = sizeof(info);
	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length);
	return info;
}

static int finish(struct side *from, struct side *to)
{
	if (from->has_ended && !from->pending_length && !from->has_shut_down) {
		shutdown(to->fd, SHUT_WR);
		from->has_shut_down = 1;
	}
	return 0;
}

/* Returns -1 if the connection is broken. */
static int copy(struct side *from, struct side *to)
{
	for (int call = 0; call < CALLS; call++) {
		if (from->pending_length) {
			ssize_t sent = send(to->fd, from->pending + from->pending_from, from->pending_length, 0);
			if (sent < 0) return errno == EAGAIN ? 0 : -1;
			from->pending_from += sent;
			from->pending_length -= sent;
			if (from->pending_length) return 0;
		}
		if (from->has_ended) break;
		ssize_t received = recv(from->fd, buffer, CHUNK, 0);
		if (received == 0) from->has_ended = 1;
		if (received < 0) return errno == EAGAIN ? 0 : -1;
		ssize_t sent = received ? send(to->fd, buffer, received, 0) : 0;
		if (sent < 0 && errno != EAGAIN) return -1;
		if (sent < 0) sent = 0;
		if (sent == received) continue;
		if (!from->pending) from->pending = malloc(CHUNK);
		memcpy(from->pending, buffer + sent, received - sent);
		from->pending_from = 0;
		from->pending_length = received - sent;
		return 0;
	}
	return finish(from, to);
}

/* Returns -1 if the connection is broken. */
static int move_through_pipe(struct side *from, struct side *to)
{
	const int flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;
	for (int call = 0; call < CALLS; call++) {
		int has_moved = 0;
		if (!from->has_ended) {
			ssize_t received = splice(from->fd, NULL, from->pipe[1], NULL, CHUNK, flags);
			if (received < 0 && errno != EAGAIN) return -1;
			if (received == 0) from->has_ended = 1;
			if (received > 0) from->pending_length += received, has_moved = 1;
		}
		if (from->pending_length) {
			ssize_t sent = splice(from->pipe[0], NULL, to->fd, NULL, from->pending_length, flags);
			if (sent < 0 && errno != EAGAIN) return -1;
			if (sent > 0) from->pending_length -= sent, has_moved = 1;
		}
		if (!has_moved) break;
	}
	return finish(from, to);
}

/* The program moves the bytes. The end must wait until the kernel has sent what it has queued. */
static int forward_end(struct side *from, struct side *to)
{
	int unsent = 0;
	if (!from->has_ended || from->has_shut_down) return 0;
	/* The received FIN counts as a byte. */
	long long received = tcp_info_of(from->fd).tcpi_bytes_received - 1;
	ioctl(to->fd, SIOCOUTQ, &unsent);
	long long sent = tcp_info_of(to->fd).tcpi_bytes_acked - to->acknowledged_before + unsent;
	return sent < received ? 0 : finish(from, to);
}

static unsigned long long cookie_of(int fd)
{
	unsigned long long cookie = 0;
	socklen_t length = sizeof(cookie);
	getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length);
	return cookie;
}

/* Fails with EOPNOTSUPP for a socket that has received its FIN. Such a connection is copied. */
static int put_into_map(struct connection *connection)
{
	const int one = 1;
	for (int index = 0; index < 2; index++) {
		struct side *side = &connection->sides[index], *other = &connection->sides[!index];
		unsigned long long cookie = cookie_of(side->fd), value = other->fd;
		side->acknowledged_before = tcp_info_of(side->fd).tcpi_bytes_acked;
		if (bpf_map_update_elem(map_fd, &cookie, &value, 0) == 0) continue;
		cookie = cookie_of(other->fd);
		bpf_map_delete_elem(map_fd, &cookie);
		return 0;
	}
	/* Makes the kernel show the program what had arrived before. */
	for (int index = 0; index < 2; index++) {
		setsockopt(connection->sides[index].fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
	}
	return 1;
}

static void serve_connection(int client, const struct sockaddr_in *target)
{
	int server = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(server, (void *)target, sizeof(*target)) != 0) {
		close(server);
		close(client);
		return;
	}
	fcntl(server, F_SETFL, O_NONBLOCK);
	struct connection *connection = calloc(1, sizeof(*connection));
	connection->sides[0].fd = client;
	connection->sides[1].fd = server;
	connection->is_in_map = mover == SOCKMAP && put_into_map(connection);
	for (int index = 0; index < 2; index++) {
		struct side *side = &connection->sides[index];
		side->connection = connection;
		if (mover == SPLICE) {
			if (pipe2(side->pipe, O_NONBLOCK) != 0) exit(1);
			fcntl(side->pipe[1], F_SETPIPE_SZ, CHUNK);
		}
		struct epoll_event event = {
			.events = connection->is_in_map ? EPOLLRDHUP : EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
			.data.ptr = side,
		};
		epoll_ctl(poll_fd, EPOLL_CTL_ADD, side->fd, &event);
	}
}

static int relay(struct side *from, struct side *to)
{
	if (from->connection->is_in_map) return forward_end(from, to);
	return mover == SPLICE ? move_through_pipe(from, to) : copy(from, to);
}

static void end(struct connection *connection)
{
	for (int index = 0; index < 2; index++) {
		struct side *side = &connection->sides[index];
		close(side->fd);
		if (mover == SPLICE) close(side->pipe[0]), close(side->pipe[1]);
		free(side->pending);
	}
	free(connection);
}

int main(int argc, char **argv)
{
	const int yes = 1;
	if (argc != 6) return 2;
	signal(SIGPIPE, SIG_IGN);
	mover = !strcmp(argv[1], "copy") ? COPY : !strcmp(argv[1], "splice") ? SPLICE : SOCKMAP;
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[2])) };
	struct sockaddr_in target = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[4])) };
	inet_pton(AF_INET, argv[3], &target.sin_addr);
	if (mover == SOCKMAP) {
		struct bpf_object *object = bpf_object__open(argv[5]);
		if (!object || bpf_object__load(object)) return 1;
		map_fd = bpf_object__find_map_fd_by_name(object, "peers");
		int program = bpf_program__fd(bpf_object__find_program_by_name(object, "to_peer"));
		if (bpf_prog_attach(program, map_fd, BPF_SK_SKB_STREAM_VERDICT, 0)) return 1;
	}
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(listener, (void *)&here, sizeof(here)) != 0 || listen(listener, 4096) != 0) return 1;
	poll_fd = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN }, events[EVENTS];
	epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &event);
	for (;;) {
		struct connection *dead = NULL;
		int count = epoll_wait(poll_fd, events, EVENTS, -1);
		for (int index = 0; index < count; index++) {
			struct side *side = events[index].data.ptr;
			if (!side) {
				int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
				if (client >= 0) serve_connection(client, &target);
				continue;
			}
			struct connection *connection = side->connection;
			struct side *other = &connection->sides[side == connection->sides];
			if (connection->is_dead) continue;
			if (connection->is_in_map && events[index].events & EPOLLRDHUP) side->has_ended = 1;
			int is_broken = relay(side, other) < 0 || relay(other, side) < 0 ||
					(connection->is_in_map && events[index].events & EPOLLERR);
			if (is_broken || (side->has_shut_down && other->has_shut_down)) {
				connection->is_dead = 1;
				connection->next_dead = dead;
				dead = connection;
				continue;
			}
			/* Edge-triggered: asks again for a direction that was stopped by CALLS. The end of a socket
			 * in the map is asked for until it could be forwarded. */
			struct epoll_event again = {
				.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				.data.ptr = side,
			};
			if (connection->is_in_map) again.events = side->has_shut_down ? 0 : EPOLLRDHUP;
			epoll_ctl(poll_fd, EPOLL_CTL_MOD, side->fd, &again);
		}
		while (dead) {
			struct connection *next = dead->next_dead;
			end(dead);
			dead = next;
		}
	}
}
