import type { ModeTraits } from "../backend/mode.ts";
import type { ProxyConfig } from "./config.ts";
import { featureGates } from "./feature_gates.ts";

/** Warns of settings that are accepted but have no effect, or that most likely are a mistake. One line each. */
export function warningsOf(config: ProxyConfig): string[] {
  const { document, mode } = config;
  const warnings = gateWarnings(config);
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
  const isServed = config.localhostNodePorts || config.localhostFamilies.length > 0;
  if (!isServed && config.nodePortAddresses.includes("localhost")) {
    warnings.push(`node ports do not answer on loopback addresses ${whereNot(mode)}`);
  }
  return warnings;
}

function whereNot({ name, planning, localhostGate }: ModeTraits): string {
  if (planning.localhostNodePorts) return "while iptables.localhostNodePorts is off";
  return localhostGate === undefined
    ? `in mode ${name}`
    : `in mode ${name} while the feature gate ${localhostGate} is off`;
}

function gateWarnings({ document, mode, modes, localhostFamilies }: ProxyConfig): string[] {
  const quiet = new Set(featureGates(document, modes).map(({ name }) => name));
  return Object.entries(document.featureGates).flatMap(([gate, on]) => {
    if (on && gate === mode.localhostGate && localhostFamilies.length === 0) {
      return [
        `feature gate ${gate} has no effect without a loopback range among the node-port addresses; ` +
        "add localhost to --nodeport-addresses",
      ];
    }
    return quiet.has(gate) ? [] : [`feature gate ${gate} has no effect in this proxy`];
  });
}
