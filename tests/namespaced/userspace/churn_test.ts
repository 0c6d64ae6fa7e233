import assert from "node:assert/strict";
import { packed, relayedService } from "../../backends/userspace/relay/support/services.ts";
import { PythonProgram } from "../../integration/userspace/support/python_program.ts";
import { keepsLibraries, RelayLab } from "../../integration/userspace/support/relay_lab.ts";
import { until } from "../../integration/userspace/support/until.ts";

/** Run by relay_test.ts in its own network namespace. */

const CONNECTIONS = 2000;
/** Descriptors of free pipes, which the relay keeps. */
const KEPT_PIPES = 64;

for (const mover of ["copy", "splice"] as const) {
  const name = `connections that end in every way leave nothing behind (${mover})`;
  Deno.test(name, keepsLibraries, async () => {
    await using lab = await RelayLab.start({ mover });
    await using endpoint = new PythonProgram(ENDPOINT);
    await endpoint.line();
    await lab.replace(relayedService({ cluster: packed("10.1.0.1:8080", "10.1.0.2:8080", "10.1.0.3:8080") }));
    const before = openDescriptors();
    await using clients = new PythonProgram(clientsOf(CONNECTIONS));
    // Complete answers, and those that were cut off by a reset.
    const [complete = 0, cut = 0, wrong = 0] = (await clients.line()).split(" ").map(Number);
    assert.equal(wrong, 0, "an answer differs from what was sent, or ends without a reset");
    assert(complete > 300 && cut > 20, `${complete} complete, ${cut} cut off`);
    await until(async () => (await lab.report()).openConnections === 0);
    const { connections, open, failures } = await lab.counters();
    assert.deepEqual({ connections, open, failures }, { connections: CONNECTIONS, open: 0, failures: 0 });
    assert(
      openDescriptors() <= before + KEPT_PIPES,
      `${before} descriptors before, ${openDescriptors()} after`,
    );
    assert.deepEqual(new Set(lab.warnings), new Set(["an endpoint failed, and is avoided for a while"]));
  });
}

/** Echoes, but resets every tenth connection after some bytes. The port is open on one of three addresses only. */
const ENDPOINT = `
import random, socket, struct, threading
server = socket.create_server(("10.1.0.1", 8080), backlog=4096)
print("ready", flush=True)
def serve(connection, resets):
    try:
        left = random.randrange(400000)
        while True:
            data = connection.recv(65536)
            if not data:
                break
            connection.sendall(data)
            left -= len(data)
            if resets and left < 0:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                break
    except OSError:
        pass
    connection.close()
count = 0
while True:
    connection = server.accept()[0]
    count += 1
    threading.Thread(target=serve, args=(connection, count % 10 == 0), daemon=True).start()
`;

/** Clients that end normally, reset, or leave early, each with bytes of its own. */
function clientsOf(connections: number): string {
  return `
import random, socket, struct, threading
results = [0, 0, 0]
lock = threading.Lock()
def note(index):
    with lock:
        results[index] += 1
def client(seed):
    chance = random.Random(seed)
    sent = chance.randbytes(chance.choice([0, 1, 500, 200000, 500000]))
    connection = socket.create_connection(("10.96.0.10", 80))
    ending = chance.randrange(4)
    def send():
        try:
            connection.sendall(sent)
            if ending < 2:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass
    sender = threading.Thread(target=send)
    sender.start()
    received = bytearray()
    limit = len(sent) if ending < 2 else chance.randrange(len(sent) + 1)
    outcome = None
    try:
        while ending < 2 or len(received) < limit:
            data = connection.recv(65536)
            if not data:
                break
            received += data
        if bytes(received) != sent[:len(received)]:
            outcome = 2
        elif ending < 2:
            outcome = 0 if len(received) == len(sent) else 2
    except ConnectionResetError:
        outcome = 1 if bytes(received) == sent[:len(received)] else 2
    if ending == 2:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if ending >= 2:
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
    sender.join()
    connection.close()
    if outcome is not None:
        note(outcome)
def worker(first):
    for seed in range(first, ${connections}, 30):
        client(seed)
workers = [threading.Thread(target=worker, args=(first,)) for first in range(30)]
for thread in workers:
    thread.start()
for thread in workers:
    thread.join()
print(*results, flush=True)
`;
}

function openDescriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}
