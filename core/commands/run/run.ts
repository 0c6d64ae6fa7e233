import { closeDescriptor, raiseOpenFileLimit, returnLargeBuffers } from "../../../ffi/system/process.ts";
import type { Backend } from "../../backend/contract.ts";
import type { ProxyConfig } from "../../config/config.ts";
import { defaultDocument } from "../../config/document/document.ts";
import { supportedFamilies } from "../../node/interfaces.ts";
import type { Log } from "../../observe/log.ts";
import { Notifier } from "../../observe/service_manager/notifier.ts";
import { inheritedSockets } from "../../observe/service_manager/inherited_sockets.ts";
import { SocketStore } from "../../observe/service_manager/socket_store.ts";
import { wantsLocalhostNodePorts } from "../../plan/node_settings.ts";
import { VERSION } from "../../version.ts";
import type { Platform } from "../platform.ts";
import { terminationSignal } from "../process/signals.ts";
import { drainConnections } from "./drain.ts";
import { takeLock } from "./ownership.ts";
import { buildProxy, type ProxyParts } from "./proxy.ts";
import { requireAll } from "./requirements.ts";

export interface RunParts
  extends Pick<ProxyParts, "config" | "whenInForce" | "log" | "setVerbosity" | "droppedLines"> {
  readonly platform: Omit<Platform, "modes">;
}

/**
 * Keeps the rules equal to the cluster until SIGTERM or SIGINT. The rules stay in force after that, in modes that have
 * rules.
 * @throws UserError when the node lacks a required feature, when another proxy programs this network namespace, or
 * when the configuration file changed.
 */
export async function run(
  { config, platform, whenInForce, log, setVerbosity, droppedLines }: RunParts,
): Promise<void> {
  returnLargeBuffers();
  raiseOpenFileLimit();
  using backend = config.mode.create();
  log.info("Starting proxy", { version: VERSION, mode: backend.mode, node: config.nodeName });
  await requireAll(backend, config.modeChoice, log);
  if (config.initOnly) return await initialise(config, platform, backend, log);

  using notifier = Notifier.open(Deno.env, log);
  const signal = terminationSignal();
  const advice = "Stop it, or start with --wait-for-lock to take over when it ends";
  const request = { name: platform.lockName, mode: backend.mode, waitMs: config.waitForLockMs, advice };
  using lock = await takeLock(request, log, signal);
  if (lock === undefined) return;

  // After the backend has tried its rules, because these make the kernel load conntrack.
  if (backend.usesConntrack !== false) platform.setConntrackSysctls(config.conntrack, log);
  platform.setOomScoreAdj(config.oomScoreAdj, config.oomScoreAdj === defaultDocument().oomScoreAdj, log);
  const sockets = socketsOf(backend, notifier);
  const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
  const families = await supportedFamilies();
  const proxy = buildProxy({
    config,
    families,
    backend,
    createConntrackReconciler: platform.createConntrackReconciler,
    whenInForce,
    keepSockets: () => sockets.keep(backend.socketsToKeep?.() ?? {}),
    notifier,
    log,
    setVerbosity,
    droppedLines,
  });
  const { afterEnd = "the rules stay in force" } = backend;
  // Work in flight ends with the process: a transaction is either in force or not, and restart is the normal
  // case.
  try {
    await Promise.race([aborted, proxy.run(signal)]);
  } finally {
    notifier?.stopping(afterEnd);
    await drainConnections(backend, lock, log);
  }
  log.info(`Stopping; ${afterEnd}`);
}

/**
 * Passes the sockets on that the service manager has kept. In a mode that does not use them, they are closed at once:
 * clients would connect to them without ever getting an answer.
 */
function socketsOf(backend: Backend, notifier: Notifier | undefined): SocketStore {
  const inherited = inheritedSockets(Deno.env);
  const store = new SocketStore(notifier, inherited);
  if (backend.inheritSockets !== undefined) {
    backend.inheritSockets(inherited);
  } else {
    for (const socket of Object.values(inherited)) closeDescriptor(socket);
    store.keep({});
  }
  return store;
}

/** Does the part of a start that needs full root privileges. It fights with no other proxy, so it needs no lock. */
async function initialise(
  config: ProxyConfig,
  platform: Omit<Platform, "modes">,
  backend: Backend,
  log: Log,
): Promise<void> {
  if (backend.usesConntrack !== false) platform.setConntrackSysctls(config.conntrack, log);
  for (const warning of await backend.prepareNode?.(wantsLocalhostNodePorts(config)) ?? []) log.warn(warning);
}
