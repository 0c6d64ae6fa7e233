"""An unprivileged program that takes the name of an abstract Unix socket, and accepts no connection.

    squatter.py NAME full|idle

With "full", the backlog is full, so that whoever connects waits. Prints "ready", and ends after some seconds, so that
a test that waits for it fails instead of hanging.
"""

import os
import socket
import sys
import time

SECONDS = 15

_, name, backlog = sys.argv
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind("\0" + name)
listener.listen(0)
client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
if backlog == "full":
    client.connect("\0" + name)
print("ready", flush=True)
time.sleep(SECONDS)
