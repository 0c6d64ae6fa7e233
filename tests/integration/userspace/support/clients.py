"""Connects to a server again and again, until the end of standard input. Each connection exchanges some bytes.

    clients.py ADDRESS PORT

Prints a line of JSON: the number of answered connections, and of each kind of failure.
"""

import collections
import json
import socket
import sys
import threading

address, port = sys.argv[1], int(sys.argv[2])
counts = collections.Counter()
stop = threading.Event()


def run():
    while not stop.is_set():
        try:
            with socket.create_connection((address, port), timeout=15) as connection:
                connection.sendall(b"0123456789")
                answer = b""
                while len(answer) < 10:
                    part = connection.recv(10)
                    if not part:
                        raise ConnectionResetError("end of the stream")
                    answer += part
            counts["answered"] += 1
        except OSError as error:
            counts[type(error).__name__] += 1
        stop.wait(0.005)


threads = [threading.Thread(target=run) for _ in range(4)]
for thread in threads:
    thread.start()
sys.stdin.read()
stop.set()
for thread in threads:
    thread.join()
print(json.dumps(counts))
