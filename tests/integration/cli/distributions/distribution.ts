/**
 * One way in which a distribution of Kubernetes starts kube-proxy, in our words: read from its sources and documents,
 * and from clusters. MicroShift, and OpenShift with OVN-Kubernetes, run no kube-proxy.
 */
export interface Distribution {
  readonly name: string;
  /** Arguments of the program. NODE stands for the name of the node, which manifests insert. */
  readonly args: readonly string[];
  /** Configuration file: the value of --config. */
  readonly config?: { readonly path: string; readonly text: string };
  readonly kubeconfig: "service account" | "client certificate" | "no current context" | "in cluster";
  /** Fields of the configuration in effect that say what the distribution wants. */
  readonly means: Record<string, unknown>;
  /** Warnings about the configuration, in order. */
  readonly warnings: readonly RegExp[];
  /** False for a line that kube-proxy 1.37 refuses, because it has flags or gates of earlier releases. */
  readonly isCurrent?: boolean;
}

export const head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";

export const everyAddress = /node ports answer on every local address/;
export const noClusterCidr = /no cluster CIDR is set/;
export const unknown = (field: string) => new RegExp(`unknown field ${field} is ignored`);
export const deprecated = (flag: string) => new RegExp(`--${flag} is deprecated: it has no effect, because`);
export const gate = (name: string) => new RegExp(`feature gate ${name} has no effect in this proxy`);

export const noLimits = { maxPerCore: 0, tcpEstablishedTimeout: "0s", tcpCloseWaitTimeout: "0s" };
