"""Opens and closes connections at a steady rate.

    churn.py CGROUP|- RATE COUNT TARGET...

Joins the cgroup unless it is "-". A target is PROTOCOL,ADDRESS,PORT. Connects to each target in turn, COUNT
times in total, or until standard input ends if COUNT is 0. Prints the number of answered connections, of sockets
that were ended, and of each failure. A socket that the proxy ends is replaced by a new one, as its owner would do.
"""

import collections
import errno
import itertools
import json
import os
import random
import select
import socket
import struct
import sys
import time

cgroup, rate, count, *targets = sys.argv[1:]
RESET = struct.pack("ii", 1, 0)  # struct linger: close() sends a reset
TIMEOUT_SECONDS = 3
# Number of connections that are kept open; the oldest one is closed for a new one.
MAX_KEPT = 20

if cgroup != "-":
    with open(cgroup + "/cgroup.procs", "w") as processes:
        processes.write(str(os.getpid()))

kept = collections.deque()
# Connected sockets that the proxy ended because their endpoint was gone.
ended = 0


def ask(protocol, address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM)
    sock.settimeout(TIMEOUT_SECONDS)
    try:
        if protocol == "TCP" or random.random() < 0.5:
            sock.connect((address, port))
            sock.sendall(b"?\n")
        else:
            sock.sendto(b"?\n", (address, port))
        if not sock.recv(1024):
            raise OSError("ended")
    except OSError:
        sock.close()
        raise
    finish(sock, random.choice(("close", "reset", "shut", "keep")))


def finish(sock, how):
    if how == "keep":
        kept.append(sock)
        if len(kept) <= MAX_KEPT:
            return
        sock = kept.popleft()
    elif how == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    elif how == "shut" and sock.type == socket.SOCK_STREAM:
        sock.shutdown(socket.SHUT_WR)
        sock.recv(1024)
    sock.close()


answered, failures = 0, collections.Counter()
started = time.monotonic()
for number, target in enumerate(itertools.cycle(targets)):
    pause = started + number / float(rate) - time.monotonic()
    if count == "0":
        if select.select([sys.stdin], [], [], max(pause, 0))[0]:
            break
    elif number == int(count):
        break
    else:
        time.sleep(max(pause, 0))
    protocol, address, port = target.split(",")
    try:
        try:
            ask(protocol, address, int(port))
        except OSError as error:
            if error.errno not in (errno.ECONNABORTED, errno.EDESTADDRREQ):
                raise
            ended += 1
            ask(protocol, address, int(port))
        answered += 1
    except OSError as error:
        failures[f"{target}: {error}"] += 1
print(json.dumps({"answered": answered, "ended": ended, "failures": failures}))
