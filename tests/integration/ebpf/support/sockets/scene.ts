import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import type { EbpfOptions } from "../../../../../backends/ebpf/options.ts";
import { addressOf, settingsOf } from "../../../../backends/plans.ts";
import { slowness } from "../../../../lab/pace.ts";
import type { BackendProcess } from "../../../support/backend_process.ts";
import { type Pod, TestNode } from "./node.ts";
import { SocketError, type Sockets } from "./sockets.ts";

export interface Scene {
  readonly node: TestNode;
  readonly client: Pod;
  readonly servers: readonly [Pod, Pod];
  /** A process of the node itself. */
  readonly nodeSockets: Sockets;
  readonly backend: BackendProcess;
}

/**
 * Runs a test on a node with three pods and a backend. Two pods, "a" and "b", serve on port 8080 in both
 * families; the third is the client.
 *
 * @param options those of the backend that differ from `smallOptions`.
 */
export async function withScene(
  test: (scene: Scene) => Promise<void>,
  options: Partial<EbpfOptions> = {},
): Promise<void> {
  await using node = await TestNode.make();
  const [a, b, client] = [await node.addPod(), await node.addPod(), await node.addPod()];
  for (const [name, pod] of [["a", a], ["b", b]] as const) {
    for (const address of [pod.ipv4, pod.ipv6]) await pod.sockets.serve(name, address, 8080);
  }
  const nodeSockets = await node.startSockets();
  await using backend = node.startBackend(options);
  await test({ node, client, servers: [a, b], nodeSockets, backend });
}

export const settings = [
  settingsOf("IPv4", {
    interfaceAddresses: [addressOf("10.1.0.1"), addressOf("127.0.0.1")],
    nodePorts: [addressOf("10.1.0.1"), addressOf("127.0.0.1")],
  }),
  settingsOf("IPv6", { interfaceAddresses: [addressOf("fd00:1::1")], nodePorts: [addressOf("fd00:1::1")] }),
];

/** Returns the error message of a socket call. Fails if the call succeeds. */
export async function socketErrorOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    if (error instanceof SocketError) return error.message;
    throw error;
  }
  assert.fail("the call succeeded");
}

/** Errors of send and receive calls on a socket that was ended. */
export const ENDED = /Destination address required|Software caused connection abort|Broken pipe/;

/** Waits until a kept socket is ended. */
export async function untilEnded(sockets: Sockets, name: string): Promise<void> {
  const deadline = performance.now() + 10_000 * slowness;
  const isEnded = () => sockets.ask(name).then(() => false, (error) => ENDED.test(error.message));
  while (!await isEnded()) {
    assert(performance.now() < deadline, `socket ${name} was not ended`);
    await delay(100);
  }
}
