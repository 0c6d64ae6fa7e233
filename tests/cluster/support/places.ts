import type { Cluster, KubernetesObject } from "./cluster.ts";

/** Where a program runs: the machine of the control plane, which is outside the cluster's network; a node; a pod. */
export type Place =
  | { readonly kind: "outside" }
  | { readonly kind: "node"; readonly node: string }
  | { readonly kind: "pod"; readonly namespace: string; readonly pod: string };

export const outside: Place = { kind: "outside" };

export function onNode(node: string): Place {
  return { kind: "node", node };
}

export function inPod(namespace: string, pod: string): Place {
  return { kind: "pod", namespace, pod };
}

/** Name of a place for messages. */
export function describePlace(place: Place): string {
  if (place.kind === "outside") return "outside";
  return place.kind === "node" ? place.node : `${place.namespace}/${place.pod}`;
}

/** Commands that run a program in a place. */
export class Places {
  constructor(private readonly cluster: Cluster) {}

  /**
   * Arguments of `scripts/cluster.sh shell`. A program in a pod has the pod's network, but the files, processes and
   * cgroup of the node, so that the pod needs no image that has the program. Programs that mode ebpf attaches to the
   * node's cgroup cover it, too.
   */
  async command(place: Place, command: readonly string[]): Promise<readonly string[]> {
    if (place.kind === "outside") return ["control", ...command];
    if (place.kind === "node") return [place.node, ...command];
    const object: KubernetesObject = await this.cluster.get("--namespace", place.namespace, "pod", place.pod);
    const node = object.spec.nodeName;
    const pid = await this.#processOf(node, object.metadata.uid);
    if (pid === "") throw new Error(`pod ${describePlace(place)} has no process on ${node}`);
    return [node, "nsenter", `--net=/proc/${pid}/ns/net`, ...command];
  }

  /** A process of a pod, found by its cgroup, as the node numbers it. */
  async #processOf(node: string, uid: string): Promise<string> {
    const find =
      `grep --files-with-matches "pod${uid}" /proc/[0-9]*/cgroup 2>/dev/null | head -n 1 | cut -d / -f 3`;
    return (await this.cluster.run(onNode(node), "bash", "-c", find)).trim();
  }
}
