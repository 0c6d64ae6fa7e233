"""Measures connect() for three paths: to an endpoint without programs, to the endpoint, and to its service.

    connect.py CGROUP ROUNDS ENDPOINT PORT SERVICE PORT

The first path is measured from the parent cgroup, whose sockets no program sees. Prints for each path the median and
the 99th percentile in microseconds, and the throughput of one connection in MiB per second.
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
paths = [(os.path.dirname(cgroup), endpoint), (cgroup, endpoint), (cgroup, service)]


def enter(group):
    with open(group + "/cgroup.procs", "w") as procs:
        procs.write(str(os.getpid()))


def connect(target):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # Close with a reset, so that the connection leaves no TIME_WAIT; there would be too many.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    start = time.perf_counter_ns()
    sock.connect(target)
    duration = time.perf_counter_ns() - start
    sock.close()
    return duration


times = [[], [], []]
for batch in range(int(rounds) // BATCH):
    for path in (0, 1, 2) if batch % 2 == 0 else (2, 1, 0):
        enter(paths[path][0])
        connect(paths[path][1])
        times[path] += [connect(paths[path][1]) for _ in range(BATCH)]


def throughput(target):
    block = bytes(1 << 17)
    with socket.create_connection(target) as sock:
        total = 0
        start = time.perf_counter()
        while time.perf_counter() - start < 0.2:
            total += sock.send(block)
        return total / (time.perf_counter() - start) / (1 << 20)


rates = [[], [], []]
for _ in range(10):
    for path, (group, target) in enumerate(paths):
        enter(group)
        rates[path].append(throughput(target))


def percentile(samples, share):
    return sorted(samples)[int(len(samples) * share)]


print(json.dumps([
    {
        "p50": percentile(samples, 0.5) / 1000,
        "p99": percentile(samples, 0.99) / 1000,
        "rate": percentile(rate, 0.5),
    }
    for samples, rate in zip(times, rates)
]))
