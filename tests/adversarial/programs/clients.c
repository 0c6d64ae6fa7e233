/*
 * Many UDP clients: each sends an empty datagram from an address and port of its own and waits for one answer.
 *
 *   clients DEVICE NEXT_HOP SOURCES FIRST COUNT ADDRESS PORT PER_SECOND PATIENCE
 *
 * The clients are numbered; FIRST is the first one's number. The clients of one run take the addresses of SOURCES, a
 * prefix, in turn. PATIENCE is the time in seconds that it waits after the last datagram. It prints the number of
 * clients that got an answer, and the number of ICMP errors that arrived for them.
 */
#include "packets.h"
#include <fcntl.h>

#define IPV4_PROTOCOL 9
#define ICMP_DESTINATION_UNREACHABLE 3
#define FIRST_PORT 1024
#define RECEIVE_BUFFER (64 << 20)

struct tally {
	struct sources sources;
	struct place server;
	long first;
	long count;
	uint8_t *is_answered;
	long answered;
	long errors;
};

static struct place client_of(const struct sources *sources, long number)
{
	return (struct place){ sources->first + number % sources->count, FIRST_PORT + number / sources->count };
}

/* The number of the client with this place; -1 for others. */
static long number_of(const struct tally *tally, uint32_t address, uint16_t port)
{
	long number = (long)(port - FIRST_PORT) * tally->sources.count + (uint32_t)(address - tally->sources.first);
	if (address - tally->sources.first >= tally->sources.count || port < FIRST_PORT) return -1;
	return number >= tally->first && number < tally->first + tally->count ? number - tally->first : -1;
}

static void count_frame(struct tally *tally, const uint8_t *bytes, long length)
{
	const uint8_t *header = bytes + ETH_HLEN, *payload = header + IPV4_LENGTH;
	if (length < ETH_HLEN + IPV4_LENGTH + UDP_LENGTH || get16(bytes + 2 * ETH_ALEN) != ETH_P_IP) return;
	uint32_t to = get32(header + 16);
	if (header[IPV4_PROTOCOL] == IPPROTO_ICMP) {
		if (payload[0] == ICMP_DESTINATION_UNREACHABLE && to - tally->sources.first < tally->sources.count) tally->errors++;
		return;
	}
	if (header[IPV4_PROTOCOL] != IPPROTO_UDP) return;
	if (get32(header + 12) != tally->server.address || get16(payload) != tally->server.port) return;
	long number = number_of(tally, to, get16(payload + 2));
	if (number < 0 || tally->is_answered[number]) return;
	tally->is_answered[number] = 1;
	tally->answered++;
}

static void receive(struct tally *tally, int socket)
{
	uint8_t bytes[MAX_FRAME];
	long length;
	while ((length = recv(socket, bytes, sizeof(bytes), 0)) > 0) count_frame(tally, bytes, length);
}

int main(int argc, char **argv)
{
	static struct outlet outlet;
	const int buffer = RECEIVE_BUFFER;
	if (argc != 10) return 2;
	struct tally tally = {
		.sources = parse_sources(argv[3]),
		.first = atol(argv[4]),
		.count = atol(argv[5]),
		.server = { parse_address(argv[6]), atoi(argv[7]) },
	};
	open_outlet(&outlet, argv[1], argv[2]);
	int arriving = packet_socket(argv[1], ETH_P_ALL);
	setsockopt(arriving, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
	fcntl(arriving, F_SETFL, O_NONBLOCK);
	tally.is_answered = calloc(tally.count, 1);
	double per_second = atof(argv[8]), start = now();
	for (long sent = 0; sent < tally.count; sent++) {
		if (sent % BATCH == 0) {
			receive(&tally, arriving);
			pause_until(start + sent / per_second);
		}
		put_udp(&outlet, client_of(&tally.sources, tally.first + sent), tally.server, 0, 0, 0);
	}
	send_batch(&outlet);
	for (double end = now() + atof(argv[9]); now() < end && tally.answered < tally.count; usleep(10000))
		receive(&tally, arriving);
	printf("%ld %ld\n", tally.answered, tally.errors);
}
