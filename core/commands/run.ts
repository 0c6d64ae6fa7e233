import type { Backend, InForce } from "../backend/contract.ts";
import { ConntrackReconciler } from "../../backends/conntrack/reconciler.ts";
import type { ProxyConfig } from "../config/config.ts";
import { watchConfigFile } from "../config/watch.ts";
import { Intake } from "../sync/intake.ts";
import { nodeView } from "../sync/node_view.ts";
import { Planning } from "../sync/plan_queue.ts";
import { SyncLoop } from "../sync/sync_loop.ts";
import type { Family } from "../net/protocol.ts";
import {
  interfaceAddresses,
  nodeOfThisHost,
  supportedFamilies,
  watchInterfaceAddresses,
} from "../node/interfaces.ts";
import { returnMemory } from "../node/memory.ts";
import { backendMetricsText } from "../observe/metrics/backend.ts";
import { ProxyHealth } from "../observe/health/health.ts";
import { HealthCheckPorts } from "../observe/health/health_check_ports.ts";
import type { Log } from "../observe/log.ts";
import { Metrics } from "../observe/metrics/metrics.ts";
import { healthRoutes, metricsRoutes } from "../observe/http/routes.ts";
import { type Route, serve } from "../observe/http/server.ts";
import { SyncFailures } from "../observe/metrics/sync_failures.ts";
import { returnLargeBuffers } from "../../ffi/memory.ts";
import { raiseOpenFileLimit } from "../../ffi/open_files.ts";
import { UserError } from "../user_error.ts";
import { VERSION } from "../version.ts";
import { observe } from "./observer.ts";
import { openSource } from "./open_source.ts";

/** After the first programming the connections it came over still hold buffers for about this long. */
const QUIET_MS = 2000;

/**
 * Follows the cluster until the process is told to stop; the rules stay in force.
 * @param whenInForce called once, after the first programming.
 * @throws UserError when the node lacks something the mode needs, or the configuration file changed.
 */
export async function run(
  config: ProxyConfig,
  create: () => Backend,
  whenInForce: () => Promise<void>,
  log: Log,
): Promise<void> {
  returnLargeBuffers();
  raiseOpenFileLimit();
  using backend = create();
  log.info("Starting proxy", { version: VERSION, mode: backend.mode, node: config.nodeName });
  await requireAll(backend, log);
  if (config.initOnly) return;

  const stop = new AbortController();
  const end = () => stop.abort();
  Deno.addSignalListener("SIGTERM", end);
  Deno.addSignalListener("SIGINT", end);
  const aborted = new Promise<void>((resolve) => stop.signal.addEventListener("abort", () => resolve()));
  // What is in flight ends with the process: a transaction is either in force or not, and restart is the normal case.
  await Promise.race([aborted, follow(config, backend, whenInForce, log, stop.signal)]);
  log.info("Ending; the rules stay in force");
}

async function follow(
  config: ProxyConfig,
  backend: Backend,
  whenInForce: () => Promise<void>,
  log: Log,
  signal: AbortSignal,
): Promise<void> {
  const families = await supportedFamilies();
  const metrics = new Metrics();
  const syncFailures = new SyncFailures(config.mode, families);
  const fromManifests = config.source.kind === "manifests";
  const health = new ProxyHealth({ families, timeoutMs: 2 * config.syncPeriodMs, eligible: fromManifests });
  // An API server that was not heard of yet may be out of reach.
  health.setConnected(fromManifests);
  const source = openSource(config, log);
  const planning = new Planning(config.nodeName, log);
  await using healthCheckPorts = new HealthCheckPorts({ isHealthy: () => health.healthy, log });
  const observer = observe({
    families,
    metrics,
    syncFailures,
    health,
    healthCheckPorts,
    planning,
    bulkDone: () => setTimeout(returnMemory, QUIET_MS),
  });
  const conntrack = new ConntrackReconciler({ observer: metrics, nodeAddresses: interfaceAddresses, log });
  const firstSync = Promise.withResolvers<void>();
  const afterSync = (inForce: InForce) => {
    conntrack.synced(inForce);
    firstSync.resolve();
  };
  const loop = new SyncLoop({ ...config, backend, planning, observer, afterSync, log });
  const intake = new Intake({
    planning,
    loop,
    observer,
    log,
    view: () => {
      const addresses = interfaceAddresses();
      const standIn = fromManifests ? nodeOfThisHost(config.nodeName, addresses) : undefined;
      return nodeView(config, families, planning.store, addresses, standIn);
    },
  });
  Deno.addSignalListener("SIGHUP", () => source.reload());
  const texts = [() => metrics.text(), () => syncFailures.text(), () => ownMetricsText(backend, log)];

  await Promise.all([
    ...servers(config, healthRoutes(health, metrics), metricsRoutes(texts, config.document), log, signal),
    ...(config.file === undefined ? [] : [watchConfigFile(config.file, signal)]),
    watchInterfaceAddresses(() => intake.interfacesChanged(), signal),
    source.run(intake, signal),
    syncWhenInitialised(intake, loop, backend, families, health, signal),
    firstSync.promise.then(whenInForce),
  ]);
}

async function syncWhenInitialised(
  intake: Intake,
  loop: SyncLoop,
  backend: Backend,
  families: readonly Family[],
  health: ProxyHealth,
  signal: AbortSignal,
): Promise<void> {
  for (const family of families) health.updated(family);
  await intake.initialised;
  using _watch = backend.watch((what) => loop.reconcile(what));
  await loop.run(signal);
}

/**
 * Logs what the operator has to know of the node.
 * @throws UserError that names everything that is missing.
 */
async function requireAll(backend: Backend, log: Log): Promise<void> {
  const absent = (await backend.probe()).filter((requirement) => !requirement.found);
  for (const { detail, severity } of absent) if (severity === "recommended") log.warn(detail);
  const missing = absent.filter(({ severity }) => severity === "required");
  if (missing.length === 0) return;
  const list = missing.map(({ name, detail }) => `\n  ${name}: ${detail}`).join("");
  throw new UserError(`mode ${backend.mode} cannot work here; missing:${list}`);
}

/** Those that only this mode has. Without them the others are still worth having. */
async function ownMetricsText(backend: Backend, log: Log): Promise<string> {
  try {
    return backendMetricsText(await backend.metrics?.() ?? []);
  } catch (error) {
    log.error("The metrics of the mode cannot be read", { mode: backend.mode, err: error });
    return "";
  }
}

function servers(
  { healthz, metrics, bindAddressHardFail: hardFail }: ProxyConfig,
  healthRoutes: Readonly<Record<string, Route>>,
  metricsRoutes: Readonly<Record<string, Route>>,
  log: Log,
  signal: AbortSignal,
): readonly Promise<void>[] {
  const wanted = [
    { name: "healthz", address: healthz, routes: healthRoutes },
    { name: "metrics", address: metrics, routes: metricsRoutes },
  ];
  return wanted.flatMap(({ name, address, routes }) =>
    address === undefined ? [] : [serve({ name, address, routes, hardFail, log }, signal)]
  );
}
