import type { ConfiguredMode, FlagReader, Mode, Modes } from "../backend/mode.ts";
import { familyOf, isUnspecified, parseAddress, parseCidr } from "../net/address.ts";
import type { ConntrackSettings } from "../node/host_settings.ts";
import { type DetectLocal, loopbackFamilies, type NodePortRange } from "../plan/node_settings.ts";
import { TRAFFIC_METRICS } from "../plan/plan.ts";
import { KUBERNETES } from "../version.ts";
import type { ProxyConfig } from "./config.ts";
import { type ConfigDocument, KUBE_PROXY_MODE, type ModeSections } from "./document/document.ts";
import { FieldReader } from "./document/field_reader.ts";
import { AUTO } from "./flags/mode_names.ts";
import type { ModeChoice } from "./mode_choice.ts";

/** The part of the configuration that is not in the document. */
export interface Environment {
  readonly modes: Modes;
  /** Host name of the operating system. */
  readonly hostname: string;
  readonly master: string;
  /** "" for the API server. */
  readonly manifests: string;
  readonly initOnly: boolean;
  readonly waitForLock: string;
  /** The flag --proxy-mode, which counts if the document leaves the mode blank. */
  readonly proxyMode: string;
  /** The mode that `auto` selected; undefined when another mode is wanted. */
  readonly modeChoice: ModeChoice | undefined;
  /** Reads the flags of modes. */
  readonly valuesOf: FlagReader;
  readonly file: ProxyConfig["file"];
  readonly flags: ProxyConfig["flags"];
  /** Returns the name under which the operator wrote a field of the document: the field itself, or a flag. */
  nameOf(field: string): string;
}

/** A Prometheus server that scrapes a thousand nodes gets some 100 million series from so many services. */
const MAX_SERVICES_WITH_METRICS = 20_000;

const detectLocalModes = ["ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix"] as const;

/**
 * Checks a document (docs/behaviour.md §9.3), parses it and applies the defaults that depend on the mode.
 * @throws UserError that lists all mistakes.
 */
export function effectiveConfig(document: ConfigDocument, environment: Environment): ProxyConfig {
  const read = new FieldReader(environment.nameOf);
  const selected = readMode(document, environment, read);
  const sections = sectionsOf(document, selected);
  const periods = document[sections.periods];
  const masquerade = document[sections.masquerade];
  const syncPeriodMs = read.duration(`${sections.periods}.syncPeriod`, periods.syncPeriod, "positive");
  const minSyncPeriodMs = read.duration(`${sections.periods}.minSyncPeriod`, periods.minSyncPeriod, "zero");
  if (minSyncPeriodMs > syncPeriodMs) {
    read.wrong(
      `${sections.periods}.minSyncPeriod`,
      periods.minSyncPeriod,
      `at most the sync period of ${periods.syncPeriod}`,
    );
  }
  // kube-proxy does this too: the bit of the section of its default mode is always checked.
  const masqueradeSections = new Set([KUBE_PROXY_MODE, sections.masquerade] as const);
  for (const section of masqueradeSections) {
    read.integer(`${section}.masqueradeBit`, document[section].masqueradeBit, 0, 31);
  }
  read.duration("configSyncPeriod", document.configSyncPeriod, "positive");
  checkHiddenMetricsVersion(document.showHiddenMetricsForVersion, read);
  const conntrack = readConntrack(document.conntrack, read);

  // Options of other modes are not checked, as in kube-proxy, because they have no effect.
  const { valuesOf } = environment;
  const mode = selected.configure({ document, valuesOf, conntrackTimeouts: conntrack, read });
  const nodePortAddresses = document.nodePortAddresses.length === 0
    ? [mode.planning.defaultNodePortAddresses]
    : document.nodePortAddresses;
  const nodePortRanges = readNodePortAddresses(nodePortAddresses, read);
  const config: ProxyConfig = {
    mode,
    modeChoice: environment.modeChoice,
    modes: environment.modes.map((one) =>
      one === selected ? mode : configureUnchecked(one, document, valuesOf)
    ),
    nodeName: readNodeName(document.hostnameOverride, environment.hostname, read),
    source: readSource(document, environment, read),
    bindAddress: readBindAddress(document.bindAddress, read),
    detectLocal: readDetectLocal(document, read),
    nodePortAddresses: nodePortRanges,
    masqueradeBit: masquerade.masqueradeBit,
    masqueradeAll: masquerade.masqueradeAll,
    localhostNodePorts: mode.planning.localhostNodePorts && document.iptables.localhostNodePorts,
    localhostFamilies: isGateOn(document, mode.localhostGate) ? loopbackFamilies(nodePortRanges) : [],
    syncPeriodMs,
    minSyncPeriodMs,
    healthz: read.listenAddress("healthzBindAddress", document.healthzBindAddress),
    metrics: read.listenAddress("metricsBindAddress", document.metricsBindAddress),
    bindAddressHardFail: document.bindAddressHardFail,
    trafficMetrics: read.choice("trafficMetrics", document.trafficMetrics, TRAFFIC_METRICS),
    trafficMetricsMaxServices: read.integer(
      "trafficMetricsMaxServices",
      document.trafficMetricsMaxServices,
      0,
      MAX_SERVICES_WITH_METRICS,
    ),
    logging: readLogging(document.logging, read),
    conntrack,
    oomScoreAdj: read.integer("oomScoreAdj", document.oomScoreAdj, -1000, 1000),
    initOnly: environment.initOnly,
    waitForLockMs: read.duration("--wait-for-lock", environment.waitForLock, "zero"),
    file: environment.file,
    flags: environment.flags,
    document: {
      ...(document.mode === ""
        ? withEffectiveSections(candidatesOf(selected, environment), document)
        : document),
      // `auto` selects again on another node, or with another kernel.
      mode: environment.modeChoice === undefined ? mode.name : AUTO,
      hostnameOverride: document.hostnameOverride.trim().toLowerCase(),
      // An empty list means all addresses, as in kube-proxy.
      nodePortAddresses: environment.modeChoice !== undefined ||
          mode.planning.defaultNodePortAddresses === "all"
        ? document.nodePortAddresses
        : nodePortAddresses,
      detectLocalMode: document.detectLocalMode || "ClusterCIDR",
    },
  };
  read.finish();
  return config;
}

function readMode(document: ConfigDocument, environment: Environment, read: FieldReader): Mode {
  const { modes, proxyMode, modeChoice } = environment;
  const [preferred] = modes;
  if (modeChoice !== undefined) return modeChoice.mode;
  const [field, wanted] = document.mode === "" ? ["--proxy-mode", proxyMode] : ["mode", document.mode];
  if (wanted === "") return preferred;
  const mode = modes.find(({ name }) => name === wanted);
  if (mode === undefined) {
    const names = [...modes.map(({ name }) => name), AUTO].join(", ");
    read.wrong(field, wanted, `${names} or blank (${preferred.name})`);
  } else if (mode.featureGate !== undefined && document.featureGates[mode.featureGate] === false) {
    read.wrong(field, mode.name, `another mode while the feature gate ${mode.featureGate} is off`);
  }
  return mode ?? preferred;
}

/**
 * A blank mode reads the section of kube-proxy's default mode, as kube-proxy does. So a file that leaves the mode
 * blank, as kubeadm writes it, keeps its meaning although the default mode is another one here.
 */
function sectionsOf(document: ConfigDocument, mode: Mode): ModeSections {
  return document.mode === "" ? { periods: KUBE_PROXY_MODE, masquerade: KUBE_PROXY_MODE } : mode.sections;
}

/** The modes that a start with the document may select. */
function candidatesOf(selected: Mode, { modes, modeChoice }: Environment): readonly Mode[] {
  return modeChoice === undefined ? [selected] : modes.filter(({ isAutomatic }) => isAutomatic);
}

/** Copies what a blank mode reads to the sections of the selected mode, so that they show what is in effect. */
function withEffectiveSections(modes: readonly Mode[], document: ConfigDocument): ConfigDocument {
  const { masqueradeBit, masqueradeAll, syncPeriod, minSyncPeriod } = document[KUBE_PROXY_MODE];
  return modes.reduce((shown, { sections: { periods, masquerade } }) => {
    const copied = { ...shown, [masquerade]: { ...shown[masquerade], masqueradeBit, masqueradeAll } };
    return { ...copied, [periods]: { ...copied[periods], syncPeriod, minSyncPeriod } };
  }, document);
}

/** Reads the options of a mode without checking them. */
export function configureUnchecked(
  mode: Mode,
  document: ConfigDocument,
  valuesOf: FlagReader,
): ConfiguredMode {
  const read = new FieldReader((field) => field);
  return mode.configure({
    document,
    valuesOf,
    conntrackTimeouts: readConntrack(document.conntrack, read),
    read,
  });
}

function readNodeName(override: string, hostname: string, read: FieldReader): string {
  const name = (override || hostname).trim().toLowerCase();
  if (name === "") {
    read.wrong("hostnameOverride", override, "the name of the Node this proxy runs on, not blank");
  }
  return name;
}

function readSource(
  document: ConfigDocument,
  environment: Environment,
  read: FieldReader,
): ProxyConfig["source"] {
  const { kubeconfig, burst } = document.clientConnection;
  const { master, manifests } = environment;
  read.integer("clientConnection.burst", burst, 0);
  if (manifests === "") {
    const watchServiceCidrs = document.featureGates["MultiCIDRServiceAllocator"] ?? true;
    return { kind: "api", kubeconfig, master, watchServiceCidrs };
  }
  if (kubeconfig !== "") {
    read.wrong("clientConnection.kubeconfig", kubeconfig, "omitted when --manifests is set");
  }
  if (master !== "") read.wrong("--master", master, "omitted when --manifests is set");
  return { kind: "manifests", directory: manifests };
}

function readBindAddress(text: string, read: FieldReader): ProxyConfig["bindAddress"] {
  const address = parseAddress(text);
  if (address === undefined) read.wrong("bindAddress", text, "an IP address");
  return address === undefined || isUnspecified(address) ? undefined : address;
}

function readDetectLocal(document: ConfigDocument, read: FieldReader): DetectLocal {
  const { bridgeInterface, interfaceNamePrefix } = document.detectLocal;
  const mode = read.choice("detectLocalMode", document.detectLocalMode || "ClusterCIDR", detectLocalModes);
  switch (mode) {
    case "NodeCIDR":
      return { mode };
    case "BridgeInterface":
      if (bridgeInterface === "") {
        read.wrong(
          "detectLocal.bridgeInterface",
          "",
          "the name of the pods' bridge in detect-local mode BridgeInterface",
        );
      }
      return { mode, bridgeInterface };
    case "InterfaceNamePrefix":
      if (interfaceNamePrefix === "") {
        read.wrong(
          "detectLocal.interfaceNamePrefix",
          "",
          "a prefix in detect-local mode InterfaceNamePrefix",
        );
      }
      return { mode, interfaceNamePrefix };
    case "ClusterCIDR": {
      const texts = document.clusterCIDR === "" ? [] : document.clusterCIDR.split(",");
      const clusterCidrs = read.cidrs("clusterCIDR", texts);
      const [first, second] = clusterCidrs;
      const sameFamily = first !== undefined && second !== undefined &&
        familyOf(first.address) === familyOf(second.address);
      if (texts.length > 2 || sameFamily) {
        read.wrong("clusterCIDR", document.clusterCIDR, "one address range, or one per family");
      }
      return { mode, clusterCidrs };
    }
  }
}

function isGateOn({ featureGates }: ConfigDocument, gate: string | undefined): boolean {
  return gate !== undefined && featureGates[gate] === true;
}

function readNodePortAddresses(texts: readonly string[], read: FieldReader): readonly NodePortRange[] {
  const field = "nodePortAddresses";
  return texts.flatMap((text, index): readonly NodePortRange[] => {
    if (text === "primary" || text === "localhost" || text === "all") {
      if (texts.indexOf(text) !== index) read.wrong(field, text, "written only once");
      return [text];
    }
    const cidr = parseCidr(text);
    if (cidr !== undefined) return [cidr];
    read.wrong(
      field,
      text,
      "an address range such as 10.0.0.0/8, or one of the words primary, localhost, all",
    );
    return [];
  });
}

function readLogging(
  { format, verbosity, flushFrequency, vmodule }: ConfigDocument["logging"],
  read: FieldReader,
) {
  read.duration("logging.flushFrequency", flushFrequency, "positive");
  for (const { filePattern, verbosity } of vmodule) {
    if (filePattern === "" || !Number.isInteger(verbosity) || verbosity < 0) {
      read.wrong("logging.vmodule", `${filePattern}=${verbosity}`, "pattern=N");
    }
  }
  return {
    format: read.choice("logging.format", format, ["text", "json"]),
    verbosity: read.integer("logging.verbosity", verbosity, 0),
  };
}

function checkHiddenMetricsVersion(text: string, read: FieldReader): void {
  const previous = `${KUBERNETES.major}.${KUBERNETES.minor - 1}`;
  if (text !== "" && text !== previous) {
    read.wrong("showHiddenMetricsForVersion", text, `the previous minor version, ${previous}`);
  }
}

function readConntrack(conntrack: ConfigDocument["conntrack"], read: FieldReader): ConntrackSettings {
  const timeout = (
    field: "tcpEstablishedTimeout" | "tcpCloseWaitTimeout" | "udpTimeout" | "udpStreamTimeout",
  ) => read.duration(`conntrack.${field}`, conntrack[field], "zero");
  return {
    maxPerCore: read.integer("conntrack.maxPerCore", conntrack.maxPerCore, 0),
    min: read.integer("conntrack.min", conntrack.min, 0),
    tcpBeLiberal: conntrack.tcpBeLiberal,
    tcpEstablishedTimeoutMs: timeout("tcpEstablishedTimeout"),
    tcpCloseWaitTimeoutMs: timeout("tcpCloseWaitTimeout"),
    udpTimeoutMs: timeout("udpTimeout"),
    udpStreamTimeoutMs: timeout("udpStreamTimeout"),
  };
}
