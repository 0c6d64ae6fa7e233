import assert from "node:assert/strict";
import type { Lab } from "../../../../lab/lab.ts";
import { type MachineName, podGateways } from "../../../../lab/topology.ts";
import { run } from "../../../support/network_namespace.ts";

const SCRIPT = new URL("./churn.py", import.meta.url).pathname;

/** Result of a client. */
export interface ClientReport {
  readonly answered: number;
  /** Sockets that the proxy ended because their endpoint was gone. */
  readonly ended: number;
  /** Number of failures by error. */
  readonly failures: Readonly<Record<string, number>>;
}

/** A process that opens connections until it is stopped. */
export class Client {
  readonly #process: Deno.ChildProcess;

  /** @param cgroup where the process's sockets are balanced; without one, its packets are. */
  constructor(lab: Lab, on: MachineName, rate: number, targets: readonly string[], cgroup = "-") {
    this.#process = lab.spawn(on, ["python3", SCRIPT, cgroup, `${rate}`, "0", ...targets], {
      stdin: "piped",
      stdout: "piped",
    });
  }

  async stop(): Promise<ClientReport> {
    await this.#process.stdin.close();
    const { code, stdout } = await this.#process.output();
    assert.equal(code, 0);
    return JSON.parse(new TextDecoder().decode(stdout));
  }
}

/** Connects to each target once, and checks that all answer. */
export async function connectOnce(lab: Lab, on: MachineName, targets: readonly string[]): Promise<void> {
  const { stdout } = await lab.run(on, ["python3", SCRIPT, "-", "100", `${targets.length}`, ...targets]);
  assert.deepEqual(JSON.parse(stdout).failures, {});
}

/**
 * Creates a pod with a network namespace and a device on the node, connects to each target, and removes the
 * pod.
 */
export async function runShortLivedPod(
  lab: Lab,
  number: number,
  targets: readonly string[],
  cgroup = "-",
): Promise<ClientReport> {
  const [name, device] = [`${lab.prefix}-short`, "pods-short"];
  const { IPv4: gateway, IPv6: gateway6 } = podGateways.here;
  const [address, address6] = [`10.244.1.${100 + number % 100}`, `fd00:244:1::${100 + number % 100}`];
  const node = ["-n", lab.namespace("node")];
  await run("ip", "netns", "add", name);
  try {
    await run("ip", ...node, "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", name);
    const lines = [
      [...node, `link set ${device} up`],
      [...node, `address add ${gateway}/32 dev ${device}`],
      [...node, `address add ${gateway6}/128 dev ${device} nodad`],
      [...node, `route add ${address}/32 dev ${device}`],
      [...node, `route add ${address6}/128 dev ${device}`],
      ["-n", name, "link set eth0 up"],
      ["-n", name, `address add ${address}/32 dev eth0`],
      ["-n", name, `address add ${address6}/128 dev eth0 nodad`],
      ["-n", name, `route add ${gateway}/32 dev eth0`],
      ["-n", name, `route add ${gateway6}/128 dev eth0`],
      ["-n", name, `route add default via ${gateway} dev eth0`],
      ["-n", name, `route add default via ${gateway6} dev eth0`],
    ];
    for (const line of lines) await run("ip", ...line.flatMap((part) => part.split(" ")));
    const command = ["python3", SCRIPT, cgroup, "40", `${2 * targets.length}`, ...targets];
    const report = JSON.parse(await run("ip", "netns", "exec", name, ...command));
    // Delete the device explicitly: with the namespace it would go asynchronously, and the next one has its
    // name.
    await run("ip", ...node, "link", "delete", device);
    return report;
  } finally {
    await run("ip", "netns", "del", name);
  }
}
