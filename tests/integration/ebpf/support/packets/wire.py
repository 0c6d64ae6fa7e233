"""Far ends of a node's devices, for wire.ts: reads a JSON request per line, writes a JSON answer per line.

    wire.py TUN DEVICE...

Creates the L3 device TUN: what is written to it enters the node without an Ethernet header. The other devices
must exist; frames are sent and received through packet sockets.
"""

import fcntl
import json
import os
import select
import socket
import struct
import sys
import threading

TUNSETIFF = 0x400454CA  # linux/if_tun.h
IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 0x0001, 0x1000, 0x4000  # linux/if_tun.h
VIRTIO_NET_HDR_F_NEEDS_CSUM = 1  # linux/virtio_net.h
# struct virtio_net_hdr: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset
VNET_HEADER = struct.Struct("=BBHHHH")
SOL_PACKET, PACKET_AUXDATA = 263, 8  # linux/socket.h, linux/if_packet.h
TP_STATUS_VLAN_VALID = 1 << 4  # linux/if_packet.h
TPACKET_AUXDATA = struct.Struct("=IIIHHHH")
ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 0x0003, 0x0800, 0x86DD  # linux/if_ether.h
UNSOLICITED_ICMPV6 = range(130, 144)  # types of multicast listener and neighbour discovery

tun_name, *device_names = sys.argv[1:]
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", tun_name.encode(), IFF_TUN | IFF_NO_PI | IFF_VNET_HDR))
devices = {}
for name in device_names:
    devices[name] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    devices[name].setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    devices[name].bind((name, 0))


def do_write(packet, incomplete=None):
    """incomplete: start of the checksummed bytes and offset of the checksum, if a device must complete it."""
    start, offset = incomplete or (0, 0)
    header = VNET_HEADER.pack(VIRTIO_NET_HDR_F_NEEDS_CSUM if incomplete else 0, 0, 0, 0, start, offset)
    os.write(tun, header + bytes.fromhex(packet))
    return {}


def do_send(device, frame):
    devices[device].send(bytes.fromhex(frame))
    return {}


def do_read(device, seconds):
    """Returns the next packet that the node sends, or null if none comes in time."""
    source = tun if device == tun_name else devices[device]
    while select.select([source], [], [], seconds)[0]:
        if source == tun:
            packet = os.read(tun, 65536)[VNET_HEADER.size :]
            if is_relevant(packet):
                return {"packet": packet.hex()}
        else:
            frame, tags, _, address = source.recvmsg(65536, 256)
            is_incoming = address[2] != socket.PACKET_OUTGOING
            if is_incoming and address[1] in (ETH_P_IP, ETH_P_IPV6) and is_relevant(frame[14:]):
                return {"packet": with_tag(frame, tags).hex()}
    return {"packet": None}


def with_tag(frame, auxiliary):
    """Returns the frame as it was on the wire: the kernel stores a VLAN tag outside the frame."""
    for _, _, data in auxiliary:
        status, _, _, _, _, tag, protocol = TPACKET_AUXDATA.unpack(data)
        if status & TP_STATUS_VLAN_VALID:
            return frame[:12] + struct.pack("!HH", protocol, tag) + frame[12:]
    return frame


def is_relevant(packet):
    """False for what the stack sends to its neighbours on its own, with or without a hop-by-hop header."""
    if packet[0] >> 4 == 4:
        return True
    return packet[6] != 0 and not (packet[6] == 58 and packet[40] in UNSOLICITED_ICMPV6)


def do_echo(address, port):
    """Starts a UDP server on the node that echoes every datagram."""
    server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, port))
    threading.Thread(target=echo, args=(server,), daemon=True).start()
    return {}


def echo(server):
    while True:
        data, peer = server.recvfrom(65536)
        server.sendto(data, peer)


for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = globals()["do_" + request.pop("do")](**request)
    except Exception as error:  # reported to the test, which fails with it
        answer = {"failed": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
