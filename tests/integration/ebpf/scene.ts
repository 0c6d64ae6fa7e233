import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { addressOf, settingsOf } from "../../backends/plans.ts";
import { slowness } from "../../lab/pace.ts";
import type { BackendProcess } from "../support/backend_process.ts";
import { type Pod, SocketError, type Sockets, TestNode } from "./node.ts";

export const settings = [
  settingsOf("IPv4", {
    interfaceAddresses: [addressOf("10.1.0.1"), addressOf("127.0.0.1")],
    nodePorts: [addressOf("10.1.0.1"), addressOf("127.0.0.1")],
  }),
  settingsOf("IPv6", { interfaceAddresses: [addressOf("fd00:1::1")], nodePorts: [addressOf("fd00:1::1")] }),
];

export interface Scene {
  readonly node: TestNode;
  readonly client: Pod;
  readonly servers: readonly [Pod, Pod];
  readonly here: Sockets;
  readonly backend: BackendProcess;
}

/** A node with two pods that serve on port 8080 in both families, as "a" and "b", and one that asks. */
export async function withScene(test: (scene: Scene) => Promise<void>): Promise<void> {
  await using node = await TestNode.make();
  const [a, b, client] = [await node.addPod(), await node.addPod(), await node.addPod()];
  for (const [name, pod] of [["a", a], ["b", b]] as const) {
    for (const address of [pod.ipv4, pod.ipv6]) await pod.sockets.serve(name, address, 8080);
  }
  const here = await node.startHere();
  await using backend = node.startBackend();
  await test({ node, client, servers: [a, b], here, backend });
}

/** What the kernel says to a socket that it refuses something. */
export async function refusal(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    if (error instanceof SocketError) return error.message;
    throw error;
  }
  assert.fail("it was answered");
}

/** What a socket that was ended says to who sends, and to who waits for an answer. */
export const ended = /Destination address required|Software caused connection abort|Broken pipe/;

/** Waits until a socket that was kept is ended. */
export async function untilEnded(sockets: Sockets, name: string): Promise<void> {
  const deadline = performance.now() + 10_000 * slowness;
  const isEnded = () => sockets.ask(name).then(() => false, (error) => ended.test(error.message));
  while (!await isEnded()) {
    assert(performance.now() < deadline, `${name} goes on`);
    await delay(100);
  }
}
