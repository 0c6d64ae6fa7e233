import type { ProxyMode } from "../backend/contract.ts";
import { familyOf, isUnspecified, parseAddress, parseCidr } from "../net/address.ts";
import { KUBERNETES } from "../version.ts";
import type { IpvsConfig, LocalTrafficConfig, NodePortAddress, ProxyConfig } from "./config.ts";
import type { ConfigDocument } from "./document/document.ts";
import { FieldReader } from "./document/field_reader.ts";
import { readEbpf } from "./ebpf.ts";
import type { FlagValues } from "./flags/flags.ts";

/** What the document does not say. */
export interface Surroundings {
  /** Modes that this build has. */
  readonly modes: readonly ProxyMode[];
  /** The operating system's. */
  readonly hostname: string;
  readonly master: string;
  /** "" for the API server. */
  readonly manifests: string;
  readonly initOnly: boolean;
  /** Where the flags of mode ebpf are. */
  readonly flags: FlagValues;
  readonly file: ProxyConfig["file"];
  /** The name under which the operator wrote a field of the document: itself, or a flag. */
  nameOf(field: string): string;
}

const DEFAULT_MODE: ProxyMode = "nftables";
const allModes: readonly ProxyMode[] = ["nftables", "iptables", "ipvs", "ebpf"];
const localModes = ["ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix"] as const;

/**
 * Checks a document (docs/behaviour.md §9.3), parses it and applies the defaults that depend on the mode.
 * @throws UserError that lists everything that is wrong.
 */
export function effectiveConfig(document: ConfigDocument, around: Surroundings): ProxyConfig {
  const read = new FieldReader(around.nameOf);
  const mode = readMode(document, around, read);
  // A blank mode takes its settings from the iptables section, as upstream does: a file that leaves the choice of
  // the mode open, as kubeadm writes it, keeps its meaning here although the mode is another.
  const section = document.mode === "" || mode === "ebpf" ? "iptables" : mode;
  const periods = document[section];
  const masquerade = document[section === "nftables" ? "nftables" : "iptables"];
  const syncPeriodMs = read.duration(`${section}.syncPeriod`, periods.syncPeriod, "positive");
  const minSyncPeriodMs = read.duration(`${section}.minSyncPeriod`, periods.minSyncPeriod, "zero");
  if (minSyncPeriodMs > syncPeriodMs) {
    read.wrong(
      `${section}.minSyncPeriod`,
      periods.minSyncPeriod,
      `at most the sync period of ${periods.syncPeriod}`,
    );
  }
  read.integer("iptables.masqueradeBit", document.iptables.masqueradeBit, 0, 31);
  if (section === "nftables") read.integer("nftables.masqueradeBit", document.nftables.masqueradeBit, 0, 31);
  read.duration("configSyncPeriod", document.configSyncPeriod, "positive");
  readHiddenMetricsVersion(document.showHiddenMetricsForVersion, read);
  const nodePortAddresses =
    document.nodePortAddresses.length === 0 && (mode === "nftables" || mode === "ebpf")
      ? ["primary"]
      : document.nodePortAddresses;

  const conntrack = readConntrack(document.conntrack, read);
  const config: ProxyConfig = {
    mode,
    nodeName: readNodeName(document.hostnameOverride, around.hostname, read),
    source: readSource(document, around, read),
    bindAddress: readBindAddress(document.bindAddress, read),
    localTraffic: readLocalTraffic(document, read),
    nodePortAddresses: readNodePortAddresses(nodePortAddresses, read),
    masqueradeBit: masquerade.masqueradeBit,
    masqueradeAll: masquerade.masqueradeAll,
    localhostNodePorts: (mode === "iptables" || mode === "ebpf") && document.iptables.localhostNodePorts,
    syncPeriodMs,
    minSyncPeriodMs,
    watchServiceCidrs: document.featureGates["MultiCIDRServiceAllocator"] ?? true,
    healthz: read.listenAddress("healthzBindAddress", document.healthzBindAddress),
    metrics: read.listenAddress("metricsBindAddress", document.metricsBindAddress),
    bindAddressHardFail: document.bindAddressHardFail,
    logging: readLogging(document.logging, read),
    conntrack,
    oomScoreAdj: read.integer("oomScoreAdj", document.oomScoreAdj, -1000, 1000),
    ipvs: readIpvs(document.ipvs, mode, read),
    ebpf: readEbpf(around.flags, conntrack, mode, read),
    initOnly: around.initOnly,
    file: around.file,
    document: {
      ...document,
      mode,
      hostnameOverride: document.hostnameOverride.trim().toLowerCase(),
      ...(section === "iptables" && mode !== "iptables" ? { nftables: sameSection(document.iptables) } : {}),
      nodePortAddresses,
      detectLocalMode: document.detectLocalMode || "ClusterCIDR",
    },
  };
  read.finish();
  return config;
}

function readMode(document: ConfigDocument, { modes }: Surroundings, read: FieldReader): ProxyMode {
  if (document.mode === "") return DEFAULT_MODE;
  const mode = allModes.find((mode) => mode === document.mode);
  const available = `${modes.join(", ")} or blank (${DEFAULT_MODE})`;
  if (mode === undefined) {
    read.wrong("mode", document.mode, available);
  } else if (!modes.includes(mode)) {
    read.wrong("mode", mode, `${available} in this version`);
  } else if (mode === "ipvs" && document.featureGates["KubeProxyIPVS"] === false) {
    read.wrong("mode", mode, "another one while the feature gate KubeProxyIPVS is off");
  }
  return mode ?? DEFAULT_MODE;
}

/** The section of the mode in force, when the settings came from the one that a blank mode names. */
function sameSection(
  { masqueradeBit, masqueradeAll, syncPeriod, minSyncPeriod }: ConfigDocument["nftables"],
) {
  return { masqueradeBit, masqueradeAll, syncPeriod, minSyncPeriod };
}

function readNodeName(override: string, hostname: string, read: FieldReader): string {
  const name = (override || hostname).trim().toLowerCase();
  if (name === "") read.wrong("hostnameOverride", override, "the name of the Node this runs on, not blank");
  return name;
}

function readSource(
  document: ConfigDocument,
  around: Surroundings,
  read: FieldReader,
): ProxyConfig["source"] {
  const { kubeconfig, qps, burst } = document.clientConnection;
  read.integer("clientConnection.burst", burst, 0);
  if (around.manifests === "") return { kind: "api", kubeconfig, master: around.master, qps, burst };
  if (kubeconfig !== "") {
    read.wrong("clientConnection.kubeconfig", kubeconfig, "left out when there is --manifests");
  }
  if (around.master !== "") read.wrong("--master", around.master, "left out when there is --manifests");
  return { kind: "manifests", directory: around.manifests };
}

function readBindAddress(text: string, read: FieldReader): ProxyConfig["bindAddress"] {
  const address = parseAddress(text);
  if (address === undefined) read.wrong("bindAddress", text, "an IP address");
  return address === undefined || isUnspecified(address) ? undefined : address;
}

function readLocalTraffic(document: ConfigDocument, read: FieldReader): LocalTrafficConfig {
  const { bridgeInterface, interfaceNamePrefix } = document.detectLocal;
  const mode = read.choice("detectLocalMode", document.detectLocalMode || "ClusterCIDR", localModes);
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
      return { mode, interface: bridgeInterface };
    case "InterfaceNamePrefix":
      if (interfaceNamePrefix === "") {
        read.wrong(
          "detectLocal.interfaceNamePrefix",
          "",
          "a prefix in detect-local mode InterfaceNamePrefix",
        );
      }
      return { mode, prefix: interfaceNamePrefix };
    case "ClusterCIDR": {
      const texts = document.clusterCIDR === "" ? [] : document.clusterCIDR.split(",");
      const cidrs = read.cidrs("clusterCIDR", texts);
      const [first, second] = cidrs;
      const twice = first !== undefined && second !== undefined &&
        familyOf(first.address) === familyOf(second.address);
      if (texts.length > 2 || twice) {
        read.wrong("clusterCIDR", document.clusterCIDR, "one address range, or one of each family");
      }
      return { mode, cidrs };
    }
  }
}

function readNodePortAddresses(texts: readonly string[], read: FieldReader): readonly NodePortAddress[] {
  const field = "nodePortAddresses";
  return texts.flatMap((text, index): readonly NodePortAddress[] => {
    if (text === "primary" || text === "localhost" || text === "all") {
      if (texts.indexOf(text) !== index) read.wrong(field, text, "written once");
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

function readHiddenMetricsVersion(text: string, read: FieldReader): void {
  const previous = `${KUBERNETES.major}.${KUBERNETES.minor - 1}`;
  if (text !== "" && text !== previous) {
    read.wrong("showHiddenMetricsForVersion", text, `the previous minor version, ${previous}`);
  }
}

function readConntrack(conntrack: ConfigDocument["conntrack"], read: FieldReader): ProxyConfig["conntrack"] {
  const timeout = (
    field: "tcpEstablishedTimeout" | "tcpCloseWaitTimeout" | "udpTimeout" | "udpStreamTimeout",
  ) => read.duration(`conntrack.${field}`, conntrack[field], "zero");
  return {
    maxPerCore: read.integer("conntrack.maxPerCore", conntrack.maxPerCore, 0),
    min: read.integer("conntrack.min", conntrack.min, 0),
    tcpEstablishedTimeoutMs: timeout("tcpEstablishedTimeout"),
    tcpCloseWaitTimeoutMs: timeout("tcpCloseWaitTimeout"),
    tcpBeLiberal: conntrack.tcpBeLiberal,
    udpTimeoutMs: timeout("udpTimeout"),
    udpStreamTimeoutMs: timeout("udpStreamTimeout"),
  };
}

/** Checked in their own mode only, as upstream does: elsewhere they have no effect. */
function readIpvs(ipvs: ConfigDocument["ipvs"], mode: ProxyMode, read: FieldReader): IpvsConfig {
  const checked = mode === "ipvs" ? read : new FieldReader((field) => field);
  const timeout = (field: "tcpTimeout" | "tcpFinTimeout" | "udpTimeout") =>
    checked.duration(`ipvs.${field}`, ipvs[field], "zero");
  return {
    scheduler: ipvs.scheduler,
    excludeCidrs: checked.cidrs("ipvs.excludeCIDRs", ipvs.excludeCIDRs),
    strictArp: ipvs.strictARP,
    localFallback: ipvs.localFallback,
    tcpTimeoutMs: timeout("tcpTimeout"),
    tcpFinTimeoutMs: timeout("tcpFinTimeout"),
    udpTimeoutMs: timeout("udpTimeout"),
  };
}
