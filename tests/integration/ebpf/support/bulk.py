"""Sends many bytes over one TCP connection in both directions at once. Each side prints the digest of its input.

    bulk.py serve ADDRESS PORT BYTES
    bulk.py connect ADDRESS PORT BYTES
"""

import hashlib
import socket
import sys
import threading

role, address, port, size = *sys.argv[1:3], int(sys.argv[3]), int(sys.argv[4])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
block = bytes(range(256)) * 1024


def send(connection):
    for _ in range(size // len(block)):
        connection.sendall(block)
    connection.shutdown(socket.SHUT_WR)


if role == "serve":
    listener = socket.create_server((address, port), family=family)
    print("ready", flush=True)
    connection, _ = listener.accept()
else:
    connection = socket.create_connection((address, port), timeout=30)
sender = threading.Thread(target=send, args=[connection])
sender.start()
digest, received = hashlib.sha256(), 0
while data := connection.recv(1 << 20):
    digest.update(data)
    received += len(data)
sender.join()
print(received, digest.hexdigest(), flush=True)
