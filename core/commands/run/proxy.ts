import type { Backend, InForce } from "../../backend/contract.ts";
import type { TrafficCounters } from "../../backend/traffic.ts";
import type { Follower } from "../../backend/follower.ts";
import type { ProxyConfig } from "../../config/config.ts";
import { featureGates } from "../../config/feature_gates.ts";
import { watchConfigFile } from "../../config/watch.ts";
import type { Family } from "../../net/protocol.ts";
import { InterfaceAddresses } from "../../node/interface_addresses.ts";
import { returnMemory } from "../../node/memory.ts";
import { ProxyHealth } from "../../observe/health/health.ts";
import { HealthCheckPorts } from "../../observe/health/health_check_ports.ts";
import type { DroppedLines } from "../../observe/log/output.ts";
import type { Log } from "../../observe/log.ts";
import { Metrics } from "../../observe/metrics/metrics.ts";
import { Activity } from "../../observe/status/activity.ts";
import { recordingLog } from "../../observe/status/events.ts";
import type { StatusSources } from "../../observe/status/status.ts";
import { addStateMetrics } from "../../observe/metrics/state_metrics.ts";
import { Shared } from "../../observe/status/shared.ts";
import type { TrafficSource } from "../../observe/metrics/traffic_metrics.ts";
import { SyncFailures } from "../../observe/metrics/sync_metrics.ts";
import type { ServiceWarning } from "../../source.ts";
import type { Notifier } from "../../observe/service_manager/notifier.ts";
import { ServiceManager } from "../../observe/service_manager/service_manager.ts";
import { StatusLine } from "../../observe/service_manager/status_line.ts";
import { Intake } from "../../sync/intake.ts";
import { LoopProgress } from "../../sync/loop_progress.ts";
import { PlanQueue } from "../../sync/plan_queue.ts";
import { SyncLoop } from "../../sync/sync_loop.ts";
import { VERSION } from "../../version.ts";
import { currentView } from "../cluster/current_view.ts";
import { openSource } from "../cluster/open_source.ts";
import { LiveExplainer } from "../explain/live.ts";
import type { Platform } from "../platform.ts";
import type { ServicePortPlan } from "../../plan/plan.ts";
import { LimitationReports } from "./limitations.ts";
import { observe } from "./observer.ts";
import { serveHealthAndMetrics } from "./servers.ts";

export interface ProxyParts extends Pick<Platform, "createConntrackReconciler"> {
  readonly config: ProxyConfig;
  /** Families that the node supports. */
  readonly families: readonly Family[];
  readonly backend: Backend;
  /** Called once, after the first programming. */
  readonly whenInForce: () => Promise<void>;
  /** Called after each sync that has succeeded: gives the service manager the sockets that it should keep. */
  readonly keepSockets: () => void;
  /** Undefined if no service manager expects messages. */
  readonly notifier: Notifier | undefined;
  readonly log: Log;
  /** Changes the verbosity of the log. */
  readonly setVerbosity: (verbosity: number) => void;
  /** Log lines dropped so far. */
  readonly droppedLines: () => DroppedLines;
}

export interface Proxy {
  /** Runs everything until the signal aborts or a part fails. */
  run(signal: AbortSignal): Promise<void>;
}

/**
 * After the first programming the connections that the objects came over still hold buffers for about this
 * long.
 */
const BUFFERS_HELD_MS = 2000;

/** A sync that takes this long has never been seen. Restarting at less would keep a slow node from ever being ready. */
const MIN_STUCK_MS = 60_000;

const NO_TRAFFIC: TrafficCounters = { services: [], unallocated: {} };

/** Puts the parts together: source → queue → sync loop → backend, and what observes them. */
export function buildProxy(parts: ProxyParts): Proxy {
  const { config, families, backend, createConntrackReconciler, whenInForce, notifier, droppedLines } = parts;
  const activity = new Activity();
  const log = recordingLog(parts.log, activity.events);
  const fromManifests = config.source.kind === "manifests";
  const sourceKind = fromManifests ? "directory of manifests" : "API server";
  const metrics = new Metrics({ gates: featureGates(config.document, config.modes), droppedLines });
  const syncFailures = new SyncFailures(metrics.registry, config.mode.failureMetrics, families);
  const warn = (warning: ServiceWarning) => source.warn?.(warning);
  const queue = new PlanQueue(config.nodeName, log, warn);
  const timeoutMs = 2 * config.syncPeriodMs;
  const health = new ProxyHealth({
    families,
    timeoutMs,
    eligible: fromManifests,
    rejectedSince: (family) => queue.rejectedSince(family),
  });
  // An API server that has not answered yet may be unreachable.
  health.setConnected(fromManifests);
  const source = openSource(config, log, { requests: metrics.restClient, watches: metrics.watch });
  const healthCheckPorts = new HealthCheckPorts({ isHealthy: () => health.healthy, log, warn });
  const bulkDone = () => setTimeout(returnMemory, BUFFERS_HELD_MS);
  const progress = new LoopProgress();
  const status = new StatusLine({
    mode: backend.mode,
    source: sourceKind,
    servicePorts: () => queue.applied.size,
    isRejecting: () => families.some((family) => queue.rejectedSince(family) !== undefined),
    changed: () => serviceManager.changed(),
  });
  const serviceManager = new ServiceManager({
    notifier,
    progress,
    stuckAfterMs: Math.max(timeoutMs, MIN_STUCK_MS),
    describe: () => status.text,
  });
  const observer = observe({
    families,
    metrics,
    syncFailures,
    health,
    healthCheckPorts,
    queue,
    progress,
    status,
    activity,
    warn,
    bulkDone,
  });
  const serviceDevices = config.modes.flatMap(({ serviceDevice }) => serviceDevice ?? []);
  const interfaces = new InterfaceAddresses({ serviceDevices, log });
  const nodeAddresses = () => interfaces.current;
  const conntrack = backend.usesConntrack === false ? undefined : createConntrackReconciler({
    observer: metrics.conntrack,
    nodeAddresses,
    relaySockets: () => backend.relaySockets?.() ?? [],
    log,
  });
  const localhost = localhostNodePorts(config, families, backend, log);
  backend.observeTransactions?.(metrics.program);
  backend.logTo?.(log);
  addStateMetrics(metrics.registry, {
    objects: () => queue.store.counts,
    servicePorts: () => queue.applied.size,
    retries: () => ({
      "service port": queue.rejections.size,
      sync: loop.isRetrying ? 1 : 0,
      repair: loop.isRepairWaiting ? 1 : 0,
      "health-check node port": healthCheckPorts.failed,
      collection: metrics.watch.retrying,
    }),
  });
  const limits = {
    ...config.mode,
    limitationsOf: (plan: ServicePortPlan) => [
      ...config.mode.limitationsOf?.(plan) ?? [],
      ...backend.limitationsOf?.(plan.key) ?? [],
    ],
  };
  const limitations = new LimitationReports(limits, log, warn);
  const firstSync = Promise.withResolvers<void>();
  const afterSync = (inForce: InForce) => {
    metrics.program.programmed(inForce);
    limitations.synced(inForce);
    localhost?.synced(inForce);
    conntrack?.synced(inForce);
    parts.keepSockets();
    firstSync.resolve();
  };
  // The loop reports its failures to the observer, which records them as events.
  const loop = new SyncLoop({ ...config, backend, queue, observer, afterSync, log: parts.log });
  const view = () => currentView(config, families, queue.store, nodeAddresses());
  const intake = new Intake({ queue, loop, observer, log, view });
  const traffic: TrafficSource = {
    plans: () => queue.applied,
    counters: new Shared(async () => await backend.traffic?.(queue.applied) ?? NO_TRAFFIC, 0),
  };
  const statusSources: StatusSources = {
    version: VERSION,
    mode: backend.mode,
    modeReason: config.modeChoice?.reason,
    node: config.nodeName,
    families,
    sourceKind,
    health,
    activity,
    services: queue,
    traffic: traffic.counters,
    trafficLevel: backend.traffic === undefined ? "off" : config.trafficMetrics,
    relay: backend.relayState && (() => backend.relayState?.() ?? Promise.resolve(undefined)),
    loopback: backend.loopbackState && ((limit) => backend.loopbackState?.(limit)),
    unservedNodePorts: backend.unservedNodePorts?.bind(backend),
  };
  const explainer = new LiveExplainer(queue, nodeAddresses, limits, activity.invalidObjects);
  const servers = {
    config,
    backend,
    health,
    metrics,
    traffic,
    status: statusSources,
    explainer,
    log,
    setVerbosity: parts.setVerbosity,
  };

  const syncWhenInitialised = async (signal: AbortSignal) => {
    for (const family of families) health.updated(family);
    await intake.initialised;
    source.tell?.({ reason: "Starting", action: "StartKubeProxy" });
    using _watch = backend.watch((what, program) => loop.foreignChange(what, program));
    await loop.run(signal);
  };
  return {
    async run(signal) {
      await using _ports = healthCheckPorts;
      using _localhost = localhost;
      using _conntrack = conntrack;
      using _serviceManager = serviceManager;
      Deno.addSignalListener("SIGHUP", () => serviceManager.reloading(source.reload()));
      await Promise.all([
        serveHealthAndMetrics(servers, signal),
        config.file === undefined ? undefined : watchConfigFile(config.file, log, signal),
        interfaces.follow(() => intake.interfacesChanged(), signal),
        interfaces.listed.then(() => source.run(intake, signal)),
        syncWhenInitialised(signal),
        firstSync.promise.then(() => progress.caughtUp()).then(() => serviceManager.ready()),
        firstSync.promise.then(whenInForce),
      ]);
    },
  };
}

function localhostNodePorts(
  { localhostFamilies }: ProxyConfig,
  families: readonly Family[],
  backend: Backend,
  log: Log,
): (Follower & Disposable) | undefined {
  const served = localhostFamilies.filter((family) => families.includes(family));
  return served.length === 0 ? undefined : backend.serveLocalhostNodePorts?.({ families: served, log });
}
