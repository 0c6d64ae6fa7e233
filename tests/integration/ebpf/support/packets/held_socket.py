"""Holds a socket until its standard input ends, in the network namespace it is started in.

    held_socket.py connection ADDRESS PORT PEER PEER_PORT   an established TCP connection, without any packet
    held_socket.py listener ADDRESS PORT                    a listening TCP socket
    held_socket.py datagrams ADDRESS PORT                   a UDP socket that is not connected
"""

import socket
import sys

TCP_REPAIR = 19  # linux/tcp.h; Python does not name it


def main():
    kind, address, port, *peer = sys.argv[1:]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM if kind == "datagrams" else socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if kind == "connection":
        sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    sock.bind((address, int(port)))
    if kind == "connection":
        sock.connect((peer[0], int(peer[1])))
    if kind == "listener":
        sock.listen()
    print("ready", flush=True)
    sys.stdin.read()


main()
