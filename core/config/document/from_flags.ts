import type { Mode } from "../../backend/mode.ts";
import { UserError } from "../../user_error.ts";
import type { CommandLine } from "../flags/command_line.ts";
import { type ConfigDocument, defaultDocument } from "./document.ts";
import { withPort } from "./listen_address.ts";

/** Makes the document from the flags alone. A file with the same settings has the same meaning. */
export function documentFromFlags(commandLine: CommandLine, modes: readonly Mode[]): ConfigDocument {
  const document = documentOfCommonFlags(commandLine);
  return modes.reduce(
    (document, { addFlags }) => addFlags?.(document, commandLine.valuesOf) ?? document,
    document,
  );
}

function documentOfCommonFlags({ values, given }: CommandLine): ConfigDocument {
  if (given.has("cluster-cidr") && values["cluster-cidr"] === "") {
    // Most likely a variable that is not set. If it meant "no range", traffic would be masqueraded by mistake.
    throw new UserError('--cluster-cidr "": must be an address range; omit the flag if there is none');
  }
  const document = defaultDocument();
  const modeSection = {
    // kube-proxy has no flag for nftables.masqueradeBit. An operator selects another bit because another program on
    // the node uses bit 14, and that program does so in every mode.
    masqueradeBit: values["iptables-masquerade-bit"],
    masqueradeAll: values["masquerade-all"],
    syncPeriod: values["iptables-sync-period"],
    minSyncPeriod: values["iptables-min-sync-period"],
  };
  return {
    ...document,
    featureGates: values["feature-gates"],
    clientConnection: {
      ...document.clientConnection,
      kubeconfig: values.kubeconfig,
      contentType: values["kube-api-content-type"],
      qps: values["kube-api-qps"],
      burst: values["kube-api-burst"],
    },
    bindAddress: values["bind-address"] || document.bindAddress,
    healthzBindAddress: servingAddress(values["healthz-bind-address"], values["healthz-port"]),
    metricsBindAddress: servingAddress(values["metrics-bind-address"], values["metrics-port"]),
    statusPage: values["status-page"],
    bindAddressHardFail: values["bind-address-hard-fail"],
    enableProfiling: values.profiling,
    trafficMetrics: values["traffic-metrics"],
    trafficMetricsMaxServices: values["traffic-metrics-max-services"],
    showHiddenMetricsForVersion: values["show-hidden-metrics-for-version"],
    mode: values["proxy-mode"],
    iptables: { ...modeSection, localhostNodePorts: values["iptables-localhost-nodeports"] },
    nftables: modeSection,
    detectLocalMode: values["detect-local-mode"],
    detectLocal: {
      bridgeInterface: values["pod-bridge-interface"],
      interfaceNamePrefix: values["pod-interface-name-prefix"],
    },
    clusterCIDR: values["cluster-cidr"],
    nodePortAddresses: values["nodeport-addresses"],
    oomScoreAdj: values["oom-score-adj"],
    conntrack: {
      maxPerCore: values["conntrack-max-per-core"],
      min: values["conntrack-min"],
      tcpEstablishedTimeout: values["conntrack-tcp-timeout-established"],
      tcpCloseWaitTimeout: values["conntrack-tcp-timeout-close-wait"],
      tcpBeLiberal: values["conntrack-tcp-be-liberal"],
      udpTimeout: values["conntrack-udp-timeout"],
      udpStreamTimeout: values["conntrack-udp-timeout-stream"],
    },
    configSyncPeriod: values["config-sync-period"],
  };
}

/** Completes an address that has no port with the deprecated port flag. Port 0 means that nothing is served. */
function servingAddress(address: string, port: number): string {
  return port === 0 ? "" : withPort(address, port);
}

/** Applies the flags that override a configuration file: logging and the node's name (docs/behaviour.md §9.1). */
export function withOverridingFlags(
  document: ConfigDocument,
  { values, given }: CommandLine,
): ConfigDocument {
  const { logging } = document;
  const text = { ...logging.options.text };
  const json = { ...logging.options.json };
  if (given.has("log-text-split-stream")) text.splitStream = values["log-text-split-stream"];
  if (given.has("log-text-info-buffer-size")) text.infoBufferSize = values["log-text-info-buffer-size"];
  if (given.has("log-json-split-stream")) json.splitStream = values["log-json-split-stream"];
  if (given.has("log-json-info-buffer-size")) json.infoBufferSize = values["log-json-info-buffer-size"];
  return {
    ...document,
    hostnameOverride: values["hostname-override"] || document.hostnameOverride,
    logging: {
      format: given.has("logging-format") ? values["logging-format"] : logging.format,
      flushFrequency: given.has("log-flush-frequency")
        ? values["log-flush-frequency"]
        : logging.flushFrequency,
      verbosity: given.has("v") ? values.v : logging.verbosity,
      vmodule: [...values.vmodule.map(parseVmodule), ...logging.vmodule],
      options: { text, json },
    },
  };
}

/** Parses "pattern=2". The value has no effect, see `warningsOf`. */
function parseVmodule(text: string): { readonly filePattern: string; readonly verbosity: number } {
  const [filePattern = "", verbosity = ""] = text.split("=", 2);
  return { filePattern, verbosity: Number(verbosity) };
}
