import assert from "node:assert/strict";
import { relayedService } from "../../backends/userspace/relay/support/services.ts";
import { PythonProgram } from "../../integration/userspace/support/python_program.ts";
import { keepsLibraries, RelayLab } from "../../integration/userspace/support/relay_lab.ts";
import { until } from "../../integration/userspace/support/until.ts";

/** Run by relay_test.ts in its own network namespace. */

const ROUNDS = 100;
/** More than the buffers of a reader that does not read, and less than those of the relay. */
const BYTES = 200_000;

const PRELUDE = `
import fcntl, select, socket, struct, sys, termios, time
VIP, ENDPOINT, ROUNDS, BYTES = ("10.96.0.10", 80), ("10.1.0.1", 8080), ${ROUNDS}, ${BYTES}
def say(*words): print(*words, flush=True)
def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
# Reads until the other side ends its stream or fails.
def read_all(connection):
    data = b""
    try:
        while part := connection.recv(65536): data += part
        return data, "end"
    except ConnectionResetError:
        return data, "reset"
`;

for (const mover of ["copy", "splice"] as const) {
  for (const end of ["reset", "end"] as const) {
    Deno.test(
      `an answer before the end of the request is received, then the ${end} (${mover})`,
      keepsLibraries,
      async () => {
        await using lab = await RelayLab.start({ mover });
        await using endpoint = new PythonProgram(PRELUDE + answeringEndpoint(end));
        await endpoint.line();
        await lab.replace(relayedService());
        await using client = new PythonProgram(PRELUDE + UPLOADING_CLIENT);
        assert.deepEqual(JSON.parse(await client.line()), { [`answer, then ${end}`]: ROUNDS });
        await until(async () => (await lab.counters()).open === 0);
      },
    );
  }

  Deno.test(`the last message of a client that resets is received (${mover})`, keepsLibraries, async () => {
    await using lab = await RelayLab.start({ mover });
    await using endpoint = new PythonProgram(PRELUDE + STREAMING_ENDPOINT);
    await endpoint.line();
    await lab.replace(relayedService());
    await using _client = new PythonProgram(PRELUDE + LEAVING_CLIENT);
    assert.deepEqual(JSON.parse(await endpoint.line()), { "message, then reset": ROUNDS });
    await until(async () => (await lab.counters()).open === 0);
  });

  for (const sender of ["client", "endpoint"] as const) {
    const name = `a reader that is slow receives what was sent before a reset of the ${sender} (${mover})`;
    Deno.test(name, keepsLibraries, async () => {
      await using lab = await RelayLab.start({ mover });
      await using programs = await startPair(lab, sender);
      await programs.sender.line();
      programs.reader.tell("read");
      assert.equal(await programs.reader.line(), `${BYTES} bytes, then reset`);
      await until(async () => (await lab.counters()).open === 0);
    });
  }
}

Deno.test(
  "a reader that takes nothing after the other side's reset is reset, too",
  keepsLibraries,
  async () => {
    await using lab = await RelayLab.start();
    await using programs = await startPair(lab, "endpoint");
    await programs.sender.line();
    await until(async () => (await lab.counters()).open === 0);
    programs.reader.tell("read");
    assert.match(await programs.reader.line(), /bytes, then reset$/);
  },
);

Deno.test("the answer of an endpoint that resets at once is received", keepsLibraries, async () => {
  await using lab = await RelayLab.start();
  await using endpoint = new PythonProgram(PRELUDE + HASTY_ENDPOINT);
  await endpoint.line();
  await lab.replace(relayedService());
  await using client = new PythonProgram(PRELUDE + LISTENING_CLIENT);
  assert.deepEqual(JSON.parse(await client.line()), { "answer, then reset": ROUNDS });
  const { retries, failures } = await lab.counters();
  assert.deepEqual({ retries, failures }, { retries: 0, failures: 0 });
});

/** Answers before it has read the request, and closes, which resets the connection because of the unread bytes. */
function answeringEndpoint(end: "reset" | "end"): string {
  return `
server = socket.create_server(ENDPOINT)
say("ready")
while True:
    connection = server.accept()[0]
    connection.recv(1)
    while select.select([connection], [], [], 0)[0] == []: pass
    connection.sendall(b"413 Content Too Large")
    ${end === "end" ? "connection.shutdown(socket.SHUT_WR)" : ""}
    connection.close()
`;
}

/** The error of a connection that failed is reported to the first call, so that this client sends nothing after it. */
const UPLOADING_CLIENT = `
import collections, json
outcomes = collections.Counter()
for round in range(ROUNDS):
    connection = socket.create_connection(VIP)
    connection.setblocking(False)
    end = None
    poll = select.poll()
    poll.register(connection, select.POLLOUT)
    while not poll.poll(10000)[0][1] & (select.POLLERR | select.POLLHUP):
        try: connection.send(b"x" * 100000)
        except BlockingIOError: pass
        except ConnectionResetError: end = "reset"
        except BrokenPipeError: end = "end"
    answer, seen = read_all(connection)
    outcomes["answer, then " + (end or seen) if answer == b"413 Content Too Large" else "no answer"] += 1
    connection.close()
say(json.dumps(outcomes))
`;

/** Sends without an end, and says what it has received. */
const STREAMING_ENDPOINT = `
import collections, json, threading
def stream(connection):
    try:
        while True: connection.sendall(b"x" * 65536)
    except OSError: pass
outcomes = collections.Counter()
server = socket.create_server(ENDPOINT)
say("ready")
for round in range(ROUNDS):
    connection = server.accept()[0]
    sender = threading.Thread(target=stream, args=(connection,))
    data = connection.recv(5)
    sender.start()
    data += read_all(connection)[0]
    sender.join()
    outcomes["message, then reset" if data == b"hello, goodbye" else "no message"] += 1
    connection.close()
say(json.dumps(outcomes))
`;

/** Closes with unread bytes, which resets the connection. */
const LEAVING_CLIENT = `
for round in range(ROUNDS):
    connection = socket.create_connection(VIP)
    connection.sendall(b"hello")
    connection.recv(100000)
    connection.sendall(b", goodbye")
    connection.close()
say("done")
sys.stdin.readline()
`;

/** Starts a side that resets when all bytes have left it, and one that reads when it is told to. */
async function startPair(lab: RelayLab, sender: "client" | "endpoint") {
  const send = `
connection.sendall(b"x" * BYTES)
outstanding = bytearray(4)
while fcntl.ioctl(connection, termios.TIOCOUTQ, outstanding) or any(outstanding): time.sleep(0.01)
reset(connection)
say("reset")
sys.stdin.readline()
`;
  const read = `
sys.stdin.readline()
data, end = read_all(connection)
say(f"{len(data)} bytes, then {end}")
sys.stdin.readline()
`;
  const [ofEndpoint, ofClient] = sender === "endpoint" ? [send, read] : [read, send];
  const endpoint = new PythonProgram(`${PRELUDE}
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
server.bind(ENDPOINT)
server.listen()
say("ready")
connection = server.accept()[0]
${ofEndpoint}`);
  await endpoint.line();
  await lab.replace(relayedService());
  const client = new PythonProgram(`${PRELUDE}
connection = socket.socket()
connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
connection.connect(VIP)
${ofClient}`);
  return {
    ...(sender === "endpoint" ? { sender: endpoint, reader: client } : { sender: client, reader: endpoint }),
    [Symbol.asyncDispose]: async () => {
      await client[Symbol.asyncDispose]();
      await endpoint[Symbol.asyncDispose]();
    },
  };
}

const HASTY_ENDPOINT = `
server = socket.create_server(ENDPOINT)
say("ready")
while True:
    connection = server.accept()[0]
    connection.sendall(b"busy")
    reset(connection)
`;

const LISTENING_CLIENT = `
import collections, json
outcomes = collections.Counter()
for round in range(ROUNDS):
    connection = socket.create_connection(VIP)
    answer, end = read_all(connection)
    outcomes[f"answer, then {end}" if answer == b"busy" else "no answer"] += 1
    connection.close()
say(json.dumps(outcomes))
`;
