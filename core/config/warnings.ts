import type { ProxyConfig } from "./config.ts";
import { defaultDocument } from "./document/document.ts";

/** Gates with an effect here, and gates whose present setting changes nothing here. */
const quietGates = ["KubeProxyIPVS", "MultiCIDRServiceAllocator", "NFTablesNetlink", "NativeHistograms"];

/** Settings that are accepted and do nothing here, or that most likely are not what was meant. One line each. */
export function warningsOf(config: ProxyConfig): string[] {
  const { document } = config;
  const warnings: string[] = [];
  for (const [gate, on] of Object.entries(document.featureGates)) {
    if (gate === "KubeProxyNFTablesLocalhostNodePorts" && on) {
      warnings.push(
        `feature gate ${gate} is not implemented: node ports do not answer on loopback addresses`,
      );
    } else if (!quietGates.includes(gate)) {
      warnings.push(`feature gate ${gate} has no effect in this proxy`);
    }
  }
  const untouched = defaultDocument();
  if (JSON.stringify(document.conntrack) !== JSON.stringify(untouched.conntrack)) {
    warnings.push(
      "conntrack settings are not applied by this version: set the sysctls net.netfilter.nf_conntrack_*",
    );
  }
  if (document.oomScoreAdj !== untouched.oomScoreAdj) {
    warnings.push("oomScoreAdj is not applied by this version: set it in the unit or the container");
  }
  if (document.enableProfiling) warnings.push("profiling has no effect: there is no /debug/pprof");
  if (document.logging.vmodule.length > 0) {
    warnings.push("vmodule has no effect: one verbosity serves all files");
  }
  if (Object.values(document.logging.options).some(({ splitStream }) => splitStream)) {
    warnings.push("split log streams are not implemented: everything goes to standard error");
  }
  if (config.localTraffic.mode === "ClusterCIDR" && config.localTraffic.cidrs.length === 0) {
    warnings.push(
      "no cluster CIDR is set, so pods of this node cannot be told from other sources; " +
        "set --cluster-cidr or another --detect-local-mode",
    );
  }
  if (config.mode !== "nftables" && config.nodePortAddresses.length === 0) {
    warnings.push(
      "node ports answer on every local address; set --nodeport-addresses=primary to narrow that",
    );
  }
  if (!config.localhostNodePorts && config.nodePortAddresses.includes("localhost")) {
    const where = config.mode === "iptables"
      ? "while iptables.localhostNodePorts is off"
      : `in mode ${config.mode}`;
    warnings.push(`node ports do not answer on loopback addresses ${where}`);
  }
  return warnings;
}
