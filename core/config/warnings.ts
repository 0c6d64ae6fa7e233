import type { ModeTraits } from "../backend/mode.ts";
import type { ProxyConfig } from "./config.ts";
import { type ConfigDocument, defaultDocument } from "./document/document.ts";

/** Gates that have an effect here, or whose present setting changes nothing here. */
const quietGates = ["MultiCIDRServiceAllocator", "NFTablesNetlink", "NativeHistograms"];

/** Fields of the section `conntrack` that a mode with conntrack timeouts applies. */
const conntrackTimeouts = ["tcpEstablishedTimeout", "tcpCloseWaitTimeout", "udpTimeout", "udpStreamTimeout"];

/** Warns of settings that are accepted but have no effect, or that most likely are a mistake. One line each. */
export function warningsOf(config: ProxyConfig): string[] {
  const { document, mode } = config;
  const warnings = gateWarnings(config);
  const ignored = ignoredConntrackFields(document.conntrack, mode);
  if (ignored.length > 0) {
    const fields = ignored.map((field) => `conntrack.${field}`).join(", ");
    warnings.push(
      `${fields}: not applied by this version; set the sysctls net.netfilter.nf_conntrack_* instead`,
    );
  }
  if (document.oomScoreAdj !== defaultDocument().oomScoreAdj) {
    warnings.push("oomScoreAdj is not applied by this version; set it in the unit or the container instead");
  }
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

/** Fields of the section `conntrack` that are not at their default and that nothing applies. */
function ignoredConntrackFields(conntrack: ConfigDocument["conntrack"], mode: ModeTraits): string[] {
  const defaults: Readonly<Record<string, unknown>> = defaultDocument().conntrack;
  return Object.entries(conntrack)
    .filter(([field, value]) => value !== defaults[field])
    .map(([field]) => field)
    .filter((field) => !(mode.appliesConntrackTimeouts && conntrackTimeouts.includes(field)));
}
