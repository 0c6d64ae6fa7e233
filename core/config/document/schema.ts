import * as v from "valibot";
import { defaultDocument } from "./document.ts";
import { formatDuration, parseDuration } from "./duration.ts";

/**
 * Schema of a configuration file (docs/behaviour.md §9.2). Every field may be missing or null. As in kube-proxy, "", 0
 * and 0s also count as missing, except in fields where 0 is a value (pointers in kube-proxy).
 * This module is loaded only if there is a file, because loading it takes time.
 */
const defaults = defaultDocument();

const text = (fallback: string) =>
  v.pipe(
    v.nullish(v.string("must be text"), ""),
    v.transform((value) => value === "" ? fallback : value),
  );
const bool = (fallback: boolean) => v.nullish(v.boolean("must be true or false"), fallback);
const int32 = v.pipe(
  v.number("must be a whole number"),
  v.integer("must be a whole number"),
  v.minValue(-(2 ** 31), "must be a whole number of at most 32 bits"),
  v.maxValue(2 ** 31 - 1, "must be a whole number of at most 32 bits"),
);
const integer = (fallback: number) => v.nullish(int32, fallback);
const list = v.nullish(v.array(v.string("must be text"), "must be a list"), []);

const durationText = v.pipe(
  v.string("must be a duration such as 30s"),
  v.check((text) => parseDuration(text) !== undefined, "must be a duration such as 30s, 1m30s or 100ms"),
  v.transform((text) => formatDuration(parseDuration(text) ?? 0)),
);
/** For a pointer in kube-proxy: 0s is a value. */
const durationOrNull = (fallback: string) => v.nullish(durationText, fallback);
const duration = (fallback: string) =>
  v.pipe(
    v.nullish(durationText, fallback),
    v.transform((value) => value === "0s" ? fallback : value),
  );
/** The logging section accepts a duration or a number of nanoseconds. */
const durationOrNanoseconds = (fallback: string) =>
  v.union([
    duration(fallback),
    v.pipe(
      v.number(),
      v.transform((nanoseconds) => nanoseconds === 0 ? fallback : formatDuration(nanoseconds / 1e6)),
    ),
  ], "must be a duration such as 5s, or nanoseconds");

function section<const Entries extends v.ObjectEntries>(entries: Entries) {
  return v.object(entries, "must be a map of settings");
}

const outputRouting = (fallback: typeof defaults.logging.options.text) =>
  v.nullish(
    section({
      splitStream: bool(fallback.splitStream),
      infoBufferSize: v.pipe(
        v.nullish(v.union([v.string(), v.number()], "must be a quantity"), fallback.infoBufferSize),
        v.transform(String),
      ),
    }),
    {},
  );

const modeEntries = (fallback: typeof defaults.nftables) => ({
  masqueradeBit: integer(fallback.masqueradeBit),
  masqueradeAll: bool(fallback.masqueradeAll),
  syncPeriod: duration(fallback.syncPeriod),
  minSyncPeriod: duration(fallback.minSyncPeriod),
});

const { clientConnection, logging, iptables, ipvs, nftables, winkernel, detectLocal, conntrack } = defaults;

export const documentSchema = section({
  apiVersion: v.string(),
  kind: v.string(),
  featureGates: v.nullish(v.record(v.string(), v.boolean("must be true or false"), "must be a map"), {}),
  clientConnection: v.nullish(
    section({
      kubeconfig: text(clientConnection.kubeconfig),
      acceptContentTypes: text(clientConnection.acceptContentTypes),
      contentType: text(clientConnection.contentType),
      qps: v.pipe(
        v.nullish(v.number("must be a number"), 0),
        v.transform((qps) => qps || clientConnection.qps),
      ),
      burst: v.pipe(v.nullish(int32, 0), v.transform((burst) => burst || clientConnection.burst)),
    }),
    {},
  ),
  logging: v.nullish(
    section({
      format: text(logging.format),
      flushFrequency: v.nullish(durationOrNanoseconds(logging.flushFrequency), logging.flushFrequency),
      verbosity: integer(logging.verbosity),
      vmodule: v.nullish(
        v.array(section({ filePattern: text(""), verbosity: integer(0) }), "must be a list"),
        [],
      ),
      options: v.nullish(
        section({ text: outputRouting(logging.options.text), json: outputRouting(logging.options.json) }),
        {},
      ),
    }),
    {},
  ),
  hostnameOverride: text(defaults.hostnameOverride),
  bindAddress: text(defaults.bindAddress),
  // The defaults of these two depend on bindAddress.
  healthzBindAddress: text(""),
  metricsBindAddress: text(""),
  statusPage: bool(defaults.statusPage),
  bindAddressHardFail: bool(defaults.bindAddressHardFail),
  enableProfiling: bool(defaults.enableProfiling),
  trafficMetrics: text(defaults.trafficMetrics),
  trafficMetricsMaxServices: integer(defaults.trafficMetricsMaxServices),
  showHiddenMetricsForVersion: text(defaults.showHiddenMetricsForVersion),
  mode: text(defaults.mode),
  iptables: v.nullish(
    section({ ...modeEntries(iptables), localhostNodePorts: bool(iptables.localhostNodePorts) }),
    {},
  ),
  ipvs: v.nullish(
    section({
      syncPeriod: duration(ipvs.syncPeriod),
      minSyncPeriod: duration(ipvs.minSyncPeriod),
      scheduler: text(ipvs.scheduler),
      excludeCIDRs: list,
      strictARP: bool(ipvs.strictARP),
      tcpTimeout: duration(ipvs.tcpTimeout),
      tcpFinTimeout: duration(ipvs.tcpFinTimeout),
      udpTimeout: duration(ipvs.udpTimeout),
      localFallback: bool(ipvs.localFallback),
    }),
    {},
  ),
  nftables: v.nullish(section(modeEntries(nftables)), {}),
  winkernel: v.nullish(
    section({
      networkName: text(winkernel.networkName),
      sourceVip: text(winkernel.sourceVip),
      enableDSR: bool(winkernel.enableDSR),
      rootHnsEndpointName: text(winkernel.rootHnsEndpointName),
      forwardHealthCheckVip: bool(winkernel.forwardHealthCheckVip),
    }),
    {},
  ),
  detectLocalMode: text(defaults.detectLocalMode),
  detectLocal: v.nullish(
    section({
      bridgeInterface: text(detectLocal.bridgeInterface),
      interfaceNamePrefix: text(detectLocal.interfaceNamePrefix),
    }),
    {},
  ),
  clusterCIDR: text(defaults.clusterCIDR),
  nodePortAddresses: list,
  oomScoreAdj: integer(defaults.oomScoreAdj),
  conntrack: v.nullish(
    section({
      maxPerCore: integer(conntrack.maxPerCore),
      min: integer(conntrack.min),
      tcpEstablishedTimeout: durationOrNull(conntrack.tcpEstablishedTimeout),
      tcpCloseWaitTimeout: durationOrNull(conntrack.tcpCloseWaitTimeout),
      tcpBeLiberal: bool(conntrack.tcpBeLiberal),
      udpTimeout: duration(conntrack.udpTimeout),
      udpStreamTimeout: duration(conntrack.udpStreamTimeout),
    }),
    {},
  ),
  configSyncPeriod: duration(defaults.configSyncPeriod),
  portRange: text(defaults.portRange),
  windowsRunAsService: bool(defaults.windowsRunAsService),
});
