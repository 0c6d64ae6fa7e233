"""A machine of the lab. Serves as a pod and connects as a client, in the network namespace it is started in.

    agent.py NAME ADDRESS...

Commands are JSON lines on standard input, each with an "id". Each is answered by a JSON line with the same id.
Several commands may be in progress at once. The agent ends when its standard input ends. agent.ts is the client.

A server answers, over TCP and UDP, with one line: its name, the port it was reached on, and the address and port of
the client as it sees them. A TCP connection stays open and answers every line. A line that begins with GET is
answered in HTTP, so that curl can be used by hand.
"""

import asyncio
import json
import random
import socket
import struct
import sys
import time

IPV6_RECVERR = 25  # linux/in6.h; Python does not name it
IP_RECVERR = 11  # linux/in.h
IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h

# Ports that clients have, but that the kernel does not choose here: net.ipv4.ip_local_reserved_ports in wiring.ts.
KEPT_PORTS = range(40000, 50000)


def main():
    name, *addresses = sys.argv[1:]
    asyncio.run(Agent(name, addresses).run())


class Agent:
    def __init__(self, name, addresses):
        self.name = name
        self.addresses = addresses
        self.servers = []
        self.kept = {}  # connection id -> socket
        self.next_connection = 1
        self.next_port = random.choice(KEPT_PORTS)

    async def run(self):
        loop = asyncio.get_running_loop()
        commands = asyncio.StreamReader(limit=1 << 20)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        self.reply({"id": 0})
        in_progress = set()
        while line := await commands.readline():
            task = asyncio.create_task(self.execute(json.loads(line)))
            in_progress.add(task)
            task.add_done_callback(in_progress.discard)

    async def execute(self, command):
        try:
            result = await getattr(self, "do_" + command["do"])(command)
        except Exception as error:  # agent.ts reports it with the command
            self.reply({"id": command["id"], "failed": f"{type(error).__name__}: {error}"})
        else:
            self.reply({"id": command["id"], **result})

    def reply(self, message):
        print(json.dumps(message), flush=True)

    async def do_join(self, command):
        with open(command["cgroup"] + "/cgroup.procs", "w") as processes:
            processes.write("0")  # 0 means the writing process
        return {}

    # Serving

    async def do_serve(self, command):
        loop = asyncio.get_running_loop()
        for address in self.addresses:
            for port in command["ports"]:
                self.servers.append(await asyncio.start_server(self.serve_tcp, address, port, backlog=4096))
                await loop.create_datagram_endpoint(lambda: UdpServer(self), sock=udp_server_socket(address, port))
        return {}

    async def serve_tcp(self, reader, writer):
        peer, port = writer.get_extra_info("peername"), writer.get_extra_info("sockname")[1]
        try:
            while line := await reader.readline():
                answer = self.answer(port, peer)
                if line.startswith(b"GET "):
                    writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n" + answer)
                    break
                writer.write(answer)
            await writer.drain()
            writer.close()
        # The task is cancelled if the agent ends while connections are open.
        except (ConnectionError, asyncio.CancelledError):
            writer.close()

    def answer(self, port, peer):
        return f"{self.name} {port} {peer[0]} {peer[1]}\n".encode()

    # Probing

    async def do_probe(self, command):
        """Connects `times` times, `parallel` at once. `keep` keeps answered connections open, "always" all of them."""
        slots = asyncio.Semaphore(command["parallel"])

        async def one():
            async with slots:
                return await self.probe(command)

        return {"results": await asyncio.gather(*(one() for _ in range(command["times"])))}

    async def probe(self, command):
        if command["keep"] and command["protocol"] == "TCP" and not command.get("fromPort"):
            command = {**command, "fromPort": self.kept_port()}
        sock = client_socket(command)
        timeout = command["timeoutMs"] / 1000
        try:
            result = await outcome(exchange(sock, (command["to"], command["port"])), timeout)
        except BaseException:
            sock.close()
            raise
        if command["keep"] == "always" or (command["keep"] and "pod" in result):
            result["connection"] = self.next_connection
            self.kept[self.next_connection] = sock
            self.next_connection += 1
        else:
            sock.close()
        return result

    def kept_port(self):
        """Chooses the source port of a connection that is kept, so that `reopen` can bind it again.

        One that the kernel chooses is shared with connections of other processes, which prevents that.
        """
        port = self.next_port
        self.next_port = port + 1 if port + 1 in KEPT_PORTS else KEPT_PORTS[0]
        return port

    async def do_send(self, command):
        """Sends another request on each of the kept connections."""
        timeout = command["timeoutMs"] / 1000
        socks = [self.kept[connection] for connection in command["connections"]]
        return {"results": await asyncio.gather(*(outcome(exchange(sock), timeout) for sock in socks))}

    async def do_reopen(self, command):
        """Closes a kept connection, in TCP the server first, and connects again from its source port."""
        old = self.kept.pop(command["connection"])
        source = old.getsockname()
        if old.type == socket.SOCK_STREAM:
            await outcome(close_server_first(old), command["timeoutMs"] / 1000)
        old.close()
        return {"results": [await self.probe({**command, "from": source[0], "fromPort": source[1]})]}

    async def do_http(self, command):
        """Sends a GET on a new connection, as the health check of a load balancer does."""
        timeout = command["timeoutMs"] / 1000
        return {"http": await outcome(http_get(client_socket(command), command), timeout)}

    async def do_close(self, command):
        for connection in command["connections"]:
            self.kept.pop(connection).close()
        return {}


class UdpServer(asyncio.DatagramProtocol):
    def __init__(self, agent):
        self.agent = agent

    def connection_made(self, transport):
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, _data, peer):
        self.transport.sendto(self.agent.answer(self.port, peer), peer)


def udp_server_socket(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setblocking(False)
    if family == socket.AF_INET6:
        # With IPV6_V6ONLY another socket can bind 0.0.0.0. asyncio sets it for TCP.
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((address, port))
    return sock


def client_socket(command):
    family = socket.AF_INET6 if ":" in command["to"] else socket.AF_INET
    kind = socket.SOCK_STREAM if command["protocol"] == "TCP" else socket.SOCK_DGRAM
    sock = socket.socket(family, kind)
    sock.setblocking(False)
    # Without IPV6_RECVERR, an IPv6 TCP connect notices a rejection only when it repeats its SYN, one second later.
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    # Set even if the kernel chooses the port: otherwise the port cannot be bound again while the connection is closing.
    if kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    address, port = command.get("from"), command.get("fromPort", 0)
    if address and not port:
        # The port is chosen at connect, per destination, so that there can be more connections than ports.
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    if address or port:
        # Only with a given port: with SO_REUSEADDR the kernel could choose a UDP port of another of these sockets.
        if port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address or ("::" if family == socket.AF_INET6 else "0.0.0.0"), port))
    return sock


async def exchange(sock, connect_to=None):
    loop = asyncio.get_running_loop()
    if connect_to:
        await loop.sock_connect(sock, connect_to)
    try:
        await loop.sock_sendall(sock, b"?\n")
    except PermissionError:
        pass  # the datagram was stopped on its own machine; if it was rejected and not dropped, receiving fails
    answer = await loop.sock_recv(sock, 256)
    if not answer:
        raise ConnectionResetError
    # A late answer to the previous request may come first, so use the last line.
    pod, port, source, source_port = answer.decode().splitlines()[-1].split()
    return {"pod": pod, "port": int(port), "source": source, "sourcePort": int(source_port)}


async def close_server_first(sock):
    """Lets the server close first and waits until both sides are closed, so that the port is free at once."""
    loop = asyncio.get_running_loop()
    with sock:
        await loop.sock_sendall(sock, b"GET / HTTP/1.0\n")
        while await loop.sock_recv(sock, 256):
            pass
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 1))
    return {}


async def http_get(sock, command):
    with sock:
        await asyncio.get_running_loop().sock_connect(sock, (command["to"], command["port"]))
        reader, writer = await asyncio.open_connection(sock=sock)
        writer.write(b"GET /any/path HTTP/1.1\r\nHost: health\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n")
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        writer.close()
    if not head:
        raise ConnectionResetError  # the server closed the connection after it had accepted it
    status, *headers = head.split("\r\n")
    pairs = (header.split(": ", 1) for header in headers)
    return {"status": int(status.split()[1]), "headers": {name.lower(): value for name, value in pairs}, "body": body}


async def outcome(attempt, timeout):
    start = time.monotonic()
    try:
        result = await asyncio.wait_for(attempt, timeout)
    except asyncio.TimeoutError:
        return {"outcome": "timeout"}
    except ConnectionRefusedError:
        return {"outcome": "refused"}
    except ConnectionResetError:
        return {"outcome": "reset"}
    except OSError as error:
        return {"outcome": error.strerror or str(error)}
    result["ms"] = round((time.monotonic() - start) * 1000, 3)
    return result


if __name__ == "__main__":
    main()
