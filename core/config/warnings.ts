import type { ProxyConfig } from "./config.ts";

/** Gates that have an effect here, or whose present setting changes nothing here. */
const quietGates = ["MultiCIDRServiceAllocator", "NFTablesNetlink", "NativeHistograms"];

/** Warns of settings that are accepted but have no effect, or that most likely are a mistake. One line each. */
export function warningsOf(config: ProxyConfig): string[] {
  const { document, mode } = config;
  const warnings = gateWarnings(config);
  if (document.enableProfiling) warnings.push("profiling has no effect: there is no /debug/pprof");
  if (document.logging.vmodule.length > 0) {
    warnings.push("vmodule has no effect: all files have the same verbosity");
  }
  if (Object.values(document.logging.options).some(({ splitStream }) => splitStream)) {
    warnings.push("split log streams are not implemented: everything goes to standard error");
  }
  if (config.detectLocal.mode === "ClusterCIDR" && config.detectLocal.clusterCidrs.length === 0) {
    warnings.push(
      "no cluster CIDR is set, so traffic from pods of this node is not recognised; " +
        "set --cluster-cidr or another --detect-local-mode",
    );
  }
  if (document.nodePortAddresses.length === 0) {
    warnings.push(
      "node ports answer on every local address; set --nodeport-addresses=primary to restrict them",
    );
  }
  if (!config.localhostNodePorts && config.nodePortAddresses.includes("localhost")) {
    const where = mode.planning.localhostNodePorts
      ? "while iptables.localhostNodePorts is off"
      : `in mode ${mode.name}`;
    warnings.push(`node ports do not answer on loopback addresses ${where}`);
  }
  return warnings;
}

function gateWarnings({ document, modes }: ProxyConfig): string[] {
  const quiet = new Set([...quietGates, ...modes.map(({ featureGate }) => featureGate)]);
  return Object.entries(document.featureGates).flatMap(([gate, on]) => {
    if (gate === "KubeProxyNFTablesLocalhostNodePorts" && on) {
      return [`feature gate ${gate} is not implemented: node ports do not answer on loopback addresses`];
    }
    return quiet.has(gate) ? [] : [`feature gate ${gate} has no effect in this proxy`];
  });
}
