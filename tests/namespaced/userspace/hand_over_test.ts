import assert from "node:assert/strict";
import type { Relay } from "../../../backends/userspace/relay.ts";
import { takeListeners } from "../../../backends/userspace/relay/listeners/hand_over.ts";
import {
  address,
  frontend,
  packed,
  relayedService,
} from "../../backends/userspace/relay/support/services.ts";
import { keepsLibraries, RelayLab } from "../../integration/userspace/support/relay_lab.ts";
import { linesOf } from "../../lab/lines.ts";
import { program } from "../../integration/userspace/support/serving_node.ts";
import { echo, exchange, pattern, TcpServer, writeAll } from "../../integration/userspace/support/tcp.ts";

/** Run by relay_test.ts in its own network namespace. */

const NAME = "proxy-test/listeners";
const WEB = relayedService({
  cluster: packed("10.1.0.1:8080"),
  frontends: [
    frontend({ address: address("10.96.0.10") }),
    frontend({
      address: address("192.0.2.1"),
      port: 30080,
      listen: { address: address("192.0.2.1"), port: 30080 },
    }),
  ],
});
const DESTINATIONS = [{ hostname: "10.96.0.10", port: 80 }, { hostname: "192.0.2.1", port: 30080 }];

/** Takes the listeners of an earlier process, without a warning. */
const take = () => takeListeners(NAME, assert.fail);

Deno.test(
  "clients that connect all the time notice nothing when the process is replaced",
  keepsLibraries,
  async () => {
    await using _server = new TcpServer("10.1.0.1", echo);
    let lab = await RelayLab.start({ handOverName: NAME });
    await lab.replace(WEB);
    using clients = new Clients();
    for (let replacement = 0; replacement < 5; replacement++) {
      await clients.answered(100);
      const drained = lab.relay.drain(20_000, true);
      await lab.relay.offered();
      // The next process takes its time until it knows the services.
      const inherited = take();
      assert.equal(Object.keys(inherited).length, 5);
      const next = await RelayLab.start({ handOverName: NAME, inherited });
      await new Promise((resolve) => setTimeout(resolve, 50));
      await next.replace(WEB);
      assert.equal(await drained, 0);
      assert.deepEqual([...lab.warnings, ...next.warnings], []);
      lab = next;
    }
    await clients.answered(100);
    assert.deepEqual(clients.failures, []);
    await lab[Symbol.asyncDispose]();
  },
);

Deno.test("connections go on in the old process until they end", keepsLibraries, async () => {
  await using _server = new TcpServer("10.1.0.1", echo);
  const old = await RelayLab.start({ handOverName: NAME });
  await old.replace(WEB);
  using client = await Deno.connect({ hostname: "10.96.0.10", port: 80 });
  const sent = pattern(300_000);
  await writeAll(client, sent.subarray(0, 10));
  const drained = old.relay.drain(20_000);
  await old.relay.offered();
  await using next = await RelayLab.start({ inherited: take() });
  await next.replace(WEB);
  using other = await Deno.connect({ hostname: "10.96.0.10", port: 80 });
  assert.equal((await exchange(other, sent)).length, sent.length);
  assert.equal((await next.counters()).connections, 1);
  assert.deepEqual(await exchange(client, sent.subarray(10)), sent);
  assert.equal(await drained, 0);
});

Deno.test(
  "without a successor, connections are accepted until the time is nearly over, and then reset",
  keepsLibraries,
  async () => {
    await using _server = new TcpServer("10.1.0.1", echo);
    const lab = await RelayLab.start({ handOverName: NAME });
    await lab.replace(WEB);
    using client = await Deno.connect({ hostname: "10.96.0.10", port: 80 });
    await writeAll(client, pattern(10));
    const began = performance.now();
    const drained = lab.relay.drain(1000);
    await lab.relay.offered();
    using late = await Deno.connect({ hostname: "10.96.0.10", port: 80 });
    assert.equal((await exchange(late, pattern(10))).length, 10);
    assert.equal(await drained, 1);
    const took = performance.now() - began;
    assert(took >= 990 && took < 5000, `${took} ms`);
    const read = () => client.read(new Uint8Array(100));
    await read();
    await assert.rejects(read, Deno.errors.ConnectionReset);
  },
);

Deno.test("a relay without connections ends at once, unless a successor waits", keepsLibraries, async () => {
  const lab = await RelayLab.start({ handOverName: NAME });
  await lab.replace(WEB);
  const began = performance.now();
  assert.equal(await lab.relay.drain(20_000), 0);
  assert(performance.now() - began < 5000);
  const awaited = await RelayLab.start({ handOverName: NAME });
  await awaited.replace(WEB);
  assert.equal(await isOver(awaited.relay, 500), false);
  await using next = await RelayLab.start({ inherited: take() });
  await next.replace(WEB);
  assert.equal(await awaited.relay.drain(20_000), 0);
});

Deno.test("a process of another user that has the name neither hands anything over nor delays the start", async () => {
  for (const [backlog, expected] of [["full", []], ["idle", [65534]]] as const) {
    const squatter = new Deno.Command("python3", {
      args: [program("squatter.py"), NAME, backlog],
      stdout: "piped",
    }).spawn();
    const lines = linesOf(squatter.stdout);
    assert.equal((await lines.next()).value, "ready");
    const began = performance.now();
    const warned: (string | number | undefined)[] = [];
    assert.deepEqual(takeListeners(NAME, (_, { uid }) => warned.push(uid)), {});
    const took = performance.now() - began;
    squatter.kill("SIGKILL");
    await squatter.status;
    await lines.return(undefined);
    assert(took < 8000, `${backlog}: ${took} ms`);
    assert.deepEqual(warned, expected, backlog);
  }
});

async function isOver(relay: Relay, afterMs: number): Promise<boolean> {
  let isOver = false;
  void relay.drain(20_000, true).then(() => isOver = true);
  await new Promise((resolve) => setTimeout(resolve, afterMs));
  return isOver;
}

/** Clients that connect again and again, and exchange some bytes. */
class Clients implements Disposable {
  readonly failures: string[] = [];
  #count = 0;
  #isStopped = false;

  constructor() {
    for (const destination of [...DESTINATIONS, ...DESTINATIONS]) void this.#run(destination);
  }

  /** Waits for so many more connections that were answered. */
  async answered(count: number): Promise<void> {
    const wanted = this.#count + count;
    const deadline = performance.now() + 20_000;
    while (this.#count < wanted) {
      assert(performance.now() < deadline, `connections are not answered: ${this.failures[0]}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async #run(destination: { readonly hostname: string; readonly port: number }): Promise<void> {
    const sent = pattern(100);
    while (!this.#isStopped) {
      try {
        using client = await Deno.connect(destination);
        const received = await exchange(client, sent);
        assert.equal(received.length, sent.length);
        this.#count++;
      } catch (error) {
        this.failures.push(`${destination.port}: ${error}`);
      }
    }
  }

  [Symbol.dispose](): void {
    this.#isStopped = true;
  }
}
