"""Sockets in a network namespace and cgroup, for the tests of mode ebpf.

    sockets.py CGROUP

Joins the cgroup, reads a JSON request per line, and writes a JSON answer per line. A server answers every
datagram and line with its name and the address of the client.
"""

import ctypes
import json
import os
import socket
import struct
import sys
import threading
import time

kept = {}


def main():
    with open(sys.argv[1] + "/cgroup.procs", "w") as procs:
        procs.write(str(os.getpid()))
    print("{}", flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = globals()["do_" + command.pop("do")](**command)
        except OSError as error:
            answer = {"error": os.strerror(error.errno) if error.errno else str(error), "errno": error.errno}
        print(json.dumps(answer), flush=True)


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def open_socket(address, protocol, bind=None):
    kind = socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM
    sock = socket.socket(family_of(address), kind)
    sock.settimeout(2)
    if bind:
        sock.bind((bind, 0))
    return sock


# Servers


def do_serve(name, address, port):
    listener = socket.create_server((address, port), family=family_of(address), backlog=1024)
    threading.Thread(target=accept, args=(name, listener), daemon=True).start()
    datagrams = socket.socket(family_of(address), socket.SOCK_DGRAM)
    datagrams.bind((address, port))
    threading.Thread(target=answer_datagrams, args=(name, datagrams), daemon=True).start()
    return {}


def do_serve_original_destination(port):
    """Answers TCP connections with the destination that they had before a rule of netfilter redirected them."""
    listener = socket.create_server(("0.0.0.0", port))
    threading.Thread(target=accept_redirected, args=(listener,), daemon=True).start()
    return {}


SO_ORIGINAL_DST = 80  # linux/netfilter_ipv4.h


def accept_redirected(listener):
    while True:
        connection, _ = listener.accept()
        with connection:
            _, port, address = struct.unpack("!HH4s8x", connection.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16))
            connection.recv(1024)
            connection.sendall(f"{socket.inet_ntoa(address)}:{port} -".encode())


def accept(name, listener):
    while True:
        connection, peer = listener.accept()
        threading.Thread(target=answer_lines, args=(name, connection, peer), daemon=True).start()


def answer_lines(name, connection, peer):
    with connection:
        try:
            while connection.recv(1024):
                connection.sendall(f"{name} {peer[0]}".encode())
        except OSError:
            pass


def answer_datagrams(name, sock):
    while True:
        _, peer = sock.recvfrom(1024)
        sock.sendto(f"{name} {peer[0]}".encode(), peer)


# Clients


def ask(sock):
    """Sends a request on a connected socket, and returns both ends as they see each other."""
    sock.send(b"?\n")
    server, client = sock.recv(1024).decode().split()
    return {"server": server, "client": client, "peer": sock.getpeername()[0], "port": sock.getpeername()[1]}


def do_connect(address, port, protocol="TCP", bind=None):
    with open_socket(address, protocol, bind) as sock:
        sock.connect((address, port))
        return ask(sock)


def do_connect_many(address, port, count, protocol="TCP"):
    servers = {}
    for _ in range(count):
        with open_socket(address, protocol) as sock:
            sock.connect((address, port))
            server = ask(sock)["server"]
        servers[server] = servers.get(server, 0) + 1
    return servers


def do_keep(name, address, port, protocol="TCP"):
    """Connects a socket and keeps it open."""
    sock = open_socket(address, protocol)
    sock.connect((address, port))
    kept[name] = sock
    return ask(sock)


def do_start_connecting(name, address, port):
    """Starts a connection without waiting for it."""
    sock = open_socket(address, "TCP")
    sock.setblocking(False)
    kept[name] = sock
    return {"outcome": os.strerror(sock.connect_ex((address, port)))}


def do_ask(name):
    return ask(kept[name])


def do_close(name):
    """Closes a kept TCP socket, and waits until the server has closed the connection, too."""
    with kept.pop(name) as sock:
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(1024):
            pass
    return {}


def do_reconnect(name, address, port):
    kept[name].connect((address, port))
    return ask(kept[name])


def do_connect_for(address, port, seconds, bind):
    """Connects one UDP socket over and over, and returns the number of connections and of each error."""
    connections, errors = 0, {}
    end = time.monotonic() + seconds
    with open_socket(address, "UDP", bind) as sock:
        while time.monotonic() < end:
            for _ in range(1000):
                try:
                    sock.connect((address, port))
                except OSError as error:
                    errors[error.strerror] = errors.get(error.strerror, 0) + 1
            connections += 1000
    return {"connections": connections, "errors": errors}


def do_send(address, port, count=1, name=None):
    """Sends datagrams on one unconnected socket. Returns the answers per server and their source address."""
    sock = kept.setdefault(name, open_socket(address, "UDP")) if name else open_socket(address, "UDP")
    servers = {}
    for _ in range(count):
        sock.sendto(b"?", (address, port))
        answer, source = sock.recvfrom(1024)
        server = answer.decode().split()[0]
        servers[server] = servers.get(server, 0) + 1
    return {"servers": servers, "source": source[0], "port": source[1]}


def do_send_only(name, address, port):
    """Sends a datagram on a kept socket without waiting for the answer."""
    kept.setdefault(name, open_socket(address, "UDP")).sendto(b"?", (address, port))
    return {}


def do_receive(name):
    answer, source = kept[name].recvfrom(1024)
    return {"server": answer.decode().split()[0], "source": source[0], "port": source[1]}


def do_send_to_all(destinations):
    """Sends a datagram to each destination on one socket, and discards the answers."""
    with open_socket(destinations[0][0], "UDP") as sock:
        for destination in destinations:
            sock.sendto(b"?", tuple(destination))
    return {}


def do_disconnect(name):
    """Connects a socket to AF_UNSPEC, for which Python has no call."""
    unspecified = struct.pack("H14x", socket.AF_UNSPEC)
    if ctypes.CDLL(None, use_errno=True).connect(kept[name].fileno(), unspecified, len(unspecified)) != 0:
        raise OSError(ctypes.get_errno(), "connect")
    return {}


def do_send_from_many(address, port, count):
    """Sends one datagram on each of many sockets, as resolvers do."""
    for _ in range(count):
        with open_socket(address, "UDP") as sock:
            sock.sendto(b"?", (address, port))
            sock.recv(1024)
    return {}


main()
