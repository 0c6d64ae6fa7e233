"""Builds and reads packets for packet_node.ts: a request a line, a JSON answer a line."""
import json
import socket
import struct
import sys

from scapy.all import *  # noqa: F403  the expressions of tests use it
from scapy.utils import checksum


def cut(packet, length):
    """The first bytes of a packet of IP."""
    return type(packet)(bytes(packet)[:length])


def shortened(packet, length):
    """The first bytes of a packet, whose header says that they are all."""
    packet = type(packet)(bytes(packet))
    if packet.version == 4:
        packet.len = length
        del packet.chksum
    else:
        # 0 would say that the length does not fit.
        packet.plen = max(length - 40, 1)
    return cut(packet, length)


def unfinished(packet):
    """With the sum of the pseudo header for a checksum."""
    transport = packet.getlayer(1)
    transport.chksum = 0xFFFF ^ checksum_over(packet, b"")
    return packet


def finished(packet):
    """As a device finishes an unfinished one whose end was cut off: the pseudo header is the whole packet's."""
    transport = packet.getlayer(1)
    packet = unfinished(packet)
    transport.chksum = checksum(bytes(transport))
    return packet


def checksum_over(packet, data):
    """Of data, and of the pseudo header of a packet of UDP or TCP with as much behind its IP header as that says."""
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
    except Exception as error:  # said to the test, which fails with it
        answer = {"failed": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
