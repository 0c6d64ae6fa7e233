import { script } from "./cluster.ts";

/** A program of the control plane. */
export type Program = "etcd" | "kube-apiserver" | "kube-controller-manager" | "kube-scheduler";

/** Ends a node, by its number, as a power failure does, or a program of the control plane. */
export async function stop(part: number | Program): Promise<void> {
  await script(["stop", String(part)]);
}

/** Starts a part that was stopped, and waits until it is ready. */
export async function start(part: number | Program): Promise<void> {
  await script(["start", String(part)]);
}
