"""Builds and describes packets for packet_node.ts. Reads a JSON request and writes a JSON answer per line."""
import json
import socket
import struct
import sys

from scapy.all import *  # noqa: F403  for the expressions of tests
from scapy.utils import checksum


def cut(packet, length):
    """Truncates an IP packet to `length` bytes."""
    return type(packet)(bytes(packet)[:length])


def shortened(packet, length):
    """Truncates an IP packet to `length` bytes, and sets the length in its header to match."""
    packet = type(packet)(bytes(packet))
    if packet.version == 4:
        packet.len = length
        del packet.chksum
    else:
        # 0 would mean that the length exceeds its field.
        packet.plen = max(length - 40, 1)
    return cut(packet, length)


def incomplete(packet):
    """Sets the transport checksum to the sum of the pseudo header, for a device to complete."""
    transport = packet.getlayer(1)
    transport.chksum = 0xFFFF ^ checksum_over(packet, b"")
    return packet


def completed(packet):
    """Completes the checksum of a truncated packet as a device does, with the pseudo header of the whole packet."""
    transport = packet.getlayer(1)
    packet = incomplete(packet)
    transport.chksum = checksum(bytes(transport))
    return packet


def checksum_over(packet, data):
    """Checksum over `data` and the pseudo header of a UDP or TCP packet. The length is from its IP header."""
    packet_length = packet.len if packet.version == 4 else packet.plen
    if packet_length is None:
        length = len(packet.payload)
    else:
        length = packet_length - (20 if packet.version == 4 else 0)
    protocol = {"TCP": 6, "UDP": 17}[packet.payload.name]
    family = socket.AF_INET if packet.version == 4 else socket.AF_INET6
    addresses = socket.inet_pton(family, packet.src) + socket.inet_pton(family, packet.dst)
    return checksum(addresses + struct.pack("!II", length, protocol) + data)


for line in sys.stdin:
    request = json.loads(line)
    try:
        if "build" in request:
            answer = {"hex": bytes(eval(request["build"])).hex()}
        elif "build_all" in request:
            answer = {"hex": [bytes(packet).hex() for packet in eval(request["build_all"])]}
        else:
            packet = bytes.fromhex(request["show"])
            kind = Ether if not request.get("l3") else IP if packet[0] >> 4 == 4 else IPv6
            answer = {"text": kind(packet).show(dump=True)}
    except Exception as error:  # reported to the test, which fails with it
        answer = {"failed": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
