import { Cluster } from "./cluster.ts";

/** A program of the control plane. */
export type Program = "etcd" | "kube-apiserver" | "kube-controller-manager" | "kube-scheduler";

const root = new URL("../../..", import.meta.url).pathname;

/** Ends a node, by its number, as a power failure does, or a program of the control plane. */
export async function stop(part: number | Program): Promise<void> {
  await script("stop", part);
}

/** Starts a part that was stopped, and waits until it is ready. */
export async function start(part: number | Program): Promise<void> {
  await script("start", part);
}

async function script(command: "stop" | "start", part: number | Program): Promise<void> {
  const { success, stderr } = await new Deno.Command("scripts/cluster.sh", {
    args: [command, String(part)],
    cwd: root,
    env: { PROXY_CLUSTER: Cluster.name },
    stdin: "null",
    stdout: "null",
  }).output();
  if (!success) throw new Error(`cluster.sh ${command} ${part}: ${new TextDecoder().decode(stderr)}`);
}
