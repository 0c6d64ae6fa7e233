"""A service manager with a file descriptor store, as systemd has one.

    service_manager.py SOCKET COMMAND...

Starts the command, and listens on SOCKET for its messages (sd_notify(3)). Keeps the descriptors of messages with
FDSTORE=1 until one with FDSTOREREMOVE=1, and passes them to the next process (sd_listen_fds(3)). Prints the name of each
that is new, and "ready"
whenever the process reports that. Each line of standard input is a signal that the process gets; when it has ended, it
is started again.
"""

import os
import select
import signal
import socket
import sys

path, *command = sys.argv[1:]
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(path)
kept = {}


def start():
    pid = os.fork()
    if pid > 0:
        return pid
    environment = {**os.environ, "NOTIFY_SOCKET": path}
    if kept:
        environment["LISTEN_PID"] = str(os.getpid())
        environment["LISTEN_FDS"] = str(len(kept))
        environment["LISTEN_FDNAMES"] = ":".join(kept)
        # Above all that is needed, so that no descriptor replaces one that is still to be moved.
        high = [os.dup2(fd, 500 + index) for index, fd in enumerate(kept.values())]
        for index, fd in enumerate(high):
            os.dup2(fd, 3 + index)
            os.close(fd)
    os.execvpe(command[0], command, environment)


def receive():
    data, fds, _, _ = socket.recv_fds(notify, 4096, 16)
    lines = data.decode().split("\n")
    if "FDSTORE=1" in lines:
        name = lines[1].removeprefix("FDNAME=")
        if name in kept:
            os.close(fds[0])
        else:
            kept[name] = fds[0]
            print(name, flush=True)
    if "FDSTOREREMOVE=1" in lines:
        name = lines[1].removeprefix("FDNAME=")
        if name in kept:
            os.close(kept.pop(name))
    if "READY=1" in lines:
        print("ready", flush=True)


process = start()
while True:
    readable, _, _ = select.select([notify, sys.stdin], [], [])
    if notify in readable:
        receive()
        continue
    line = sys.stdin.readline()
    os.kill(process, getattr(signal, line.strip() or "SIGKILL"))
    os.waitpid(process, 0)
    if not line:
        break
    process = start()
