"""Connections that come and go, at a steady rate.

    churn.py CGROUP|- RATE COUNT TARGET...

Joins the cgroup unless it is "-". A target is PROTOCOL,ADDRESS,PORT; each is asked in turn, COUNT times in all, or
until standard input ends when that is 0. Prints how many were answered, and what became of the others. A socket that
the proxy ends is replaced by another one, as its owner would do.
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
PATIENCE_SECONDS = 3
# Connections that are closed after this many others.
KEPT = 20

if cgroup != "-":
    with open(cgroup + "/cgroup.procs", "w") as processes:
        processes.write(str(os.getpid()))

kept = collections.deque()
# Connected sockets that the proxy ended while they waited, for their endpoint had gone.
ended = 0


def ask(protocol, address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM)
    sock.settimeout(PATIENCE_SECONDS)
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
    leave(sock, random.choice(("close", "reset", "shut", "keep")))


def leave(sock, how):
    if how == "keep":
        kept.append(sock)
        if len(kept) <= KEPT:
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
