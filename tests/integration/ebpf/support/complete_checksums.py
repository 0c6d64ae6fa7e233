"""Turns off checksum offload of devices, so that the kernel completes checksums before packets leave.

    complete_checksums.py DEVICE...

Equals ethtool -K DEVICE tx off.
"""

import ctypes
import fcntl
import socket
import struct
import sys

SIOCETHTOOL = 0x8946  # linux/sockios.h
ETHTOOL_STXCSUM = 0x17  # linux/ethtool.h

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    for device in sys.argv[1:]:
        value = ctypes.create_string_buffer(struct.pack("II", ETHTOOL_STXCSUM, 0))
        fcntl.ioctl(any_socket, SIOCETHTOOL, struct.pack("16sP", device.encode(), ctypes.addressof(value)))
