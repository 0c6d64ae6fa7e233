"""How long connect() takes: to an endpoint as if there was no proxy, to the endpoint, and to its service.

    ebpf_connect.py CGROUP ROUNDS ENDPOINT PORT SERVICE PORT

The first is from the cgroup above, whose sockets no program sees. Prints the median and the 99th percentile for each,
in microseconds, and what a connection that stays carries in a second, in MiB.
"""

import json
import os
import socket
import struct
import sys
import time

BATCH = 200

cgroup, rounds, *arguments = sys.argv[1:]
endpoint, service = (arguments[0], int(arguments[1])), (arguments[2], int(arguments[3]))
ways = [(os.path.dirname(cgroup), endpoint), (cgroup, endpoint), (cgroup, service)]


def enter(group):
    with open(group + "/cgroup.procs", "w") as procs:
        procs.write(str(os.getpid()))


def connect(target):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # A reset at the end leaves no TIME_WAIT, of which there would be too many.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    started = time.perf_counter_ns()
    sock.connect(target)
    taken = time.perf_counter_ns() - started
    sock.close()
    return taken


times = [[], [], []]
for turn in range(int(rounds) // BATCH):
    for which in (0, 1, 2) if turn % 2 == 0 else (2, 1, 0):
        enter(ways[which][0])
        connect(ways[which][1])
        times[which] += [connect(ways[which][1]) for _ in range(BATCH)]


def carried(target):
    block = bytes(1 << 17)
    with socket.create_connection(target) as sock:
        total = 0
        started = time.perf_counter()
        while time.perf_counter() - started < 0.2:
            total += sock.send(block)
        return total / (time.perf_counter() - started) / (1 << 20)


rates = [[], [], []]
for _ in range(10):
    for which, (group, target) in enumerate(ways):
        enter(group)
        rates[which].append(carried(target))


def at(samples, share):
    return sorted(samples)[int(len(samples) * share)]


print(json.dumps([
    {"p50": at(samples, 0.5) / 1000, "p99": at(samples, 0.99) / 1000, "rate": at(rate, 0.5)}
    for samples, rate in zip(times, rates)
]))
