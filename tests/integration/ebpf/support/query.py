"""Sends a query from a fixed port, as servers do that also serve on it, and prints the answer.

    query.py ADDRESS PORT SERVER SERVER_PORT
"""

import socket
import sys


def main():
    address, port, server, server_port = sys.argv[1:]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # Not connected, because the socket also gets queries.
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((address, int(port)))
        sock.settimeout(3)
        sock.sendto(b"?\n", (server, int(server_port)))
        print(sock.recv(256).decode(), end="")


main()
