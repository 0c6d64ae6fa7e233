import { Cluster, type Subject } from "../cluster.ts";

const all = ["kube-proxy:nftables", "nftables", "iptables", "ebpf"] as const satisfies readonly Subject[];

/**
 * Programs that serve Services while another program works on the nodes: kube-proxy as the reference, and the modes
 * that every kernel has. PROXY_MODE selects one.
 */
export const subjects: readonly [Subject, ...Subject[]] = selected();

function selected(): readonly [Subject, ...Subject[]] {
  const mode = Deno.env.get("PROXY_MODE");
  const [subject] = all.filter((subject) => subject === mode);
  return subject === undefined ? all : [subject];
}

/** Restarts what serves Services on a node, and waits until it is ready again. */
export async function restartProxy(cluster: Cluster, node: string): Promise<void> {
  const [daemonSet] = (await cluster.get("--namespace", "kube-system", "daemonsets")).items
    .map((object: { metadata: { name: string } }) => object.metadata.name)
    .filter((name: string) => name === "proxy" || name === "kube-proxy");
  const selector = daemonSet === "proxy" ? "app.kubernetes.io/name=proxy" : "k8s-app=kube-proxy";
  await cluster.kubectl(
    ...["--namespace", "kube-system", "delete", "pod", "--wait", "--selector", selector],
    ...["--field-selector", `spec.nodeName=${node}`],
  );
  await cluster.rolledOut("kube-system", `daemonset/${daemonSet}`);
}
