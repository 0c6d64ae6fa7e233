"""Sends UDP datagrams with a forged source: spoof.py SOURCE FIRST_PORT DESTINATION PORT COUNT."""
import socket
import struct
import sys

source, destination = sys.argv[1], sys.argv[3]
first_port, port, count = int(sys.argv[2]), int(sys.argv[4]), int(sys.argv[5])
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
for number in range(count):
    # Checksum 0: none.
    datagram = struct.pack("!HHHH", first_port + number, port, 8 + 5, 0) + b"hello"
    # The kernel fills in the length and the header's checksum.
    header = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, socket.IPPROTO_UDP, 0,
        socket.inet_aton(source), socket.inet_aton(destination),
    )
    raw.sendto(header + datagram, (destination, 0))
