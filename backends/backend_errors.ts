import {
  type Backend,
  BackendError,
  type BackendMetric,
  type Comparison,
  type Draining,
  type NamedSockets,
  type NativeText,
  NotPermitted,
  type OnForeignChange,
  type PlanChange,
  type ReconcileReport,
  type Requirement,
  type TransactionObserver,
} from "../core/backend/contract.ts";
import type { Log } from "../core/observe/log.ts";
import type { Follower, LocalhostOptions, RelaySocket, RelayState } from "../core/backend/follower.ts";
import type { LoopbackState } from "../core/backend/loopback.ts";
import type { TrafficCounters } from "../core/backend/traffic.ts";
import type { DesiredState, PlanKey, ServicePortPlan } from "../core/plan/plan.ts";
import { KernelError } from "../ffi/errors.ts";
import { LibraryError } from "../ffi/library.ts";

/**
 * Wraps the backend of a mode: kernel errors, file-system errors and missing libraries become BackendErrors that start
 * with the name of the mode. Every other error is a defect and passes through. Also rejects an `apply` before the
 * first successful `reconcile`.
 */
export function withBackendErrors(backend: Backend): Backend {
  const { mode } = backend;
  let isReconciled = false;
  const translated = async <Result>(call: () => Promise<Result>): Promise<Result> => {
    try {
      return await call();
    } catch (error) {
      throw translate(mode, error);
    }
  };
  const {
    traffic,
    metrics,
    observeTransactions,
    logTo,
    relaySockets,
    relayState,
    loopbackState,
    inheritSockets,
    socketsToKeep,
    drain,
    cleanUpLeftovers,
    prepareNode,
    serveLocalhostNodePorts,
    nativeText,
  } = backend;
  return {
    mode,
    probe: (): Promise<readonly Requirement[]> => translated(() => backend.probe()),
    async reconcile(desired: DesiredState): Promise<ReconcileReport> {
      const report = await translated(() => backend.reconcile(desired));
      isReconciled = true;
      return report;
    },
    compare: (desired: DesiredState): Promise<Comparison> => translated(() => backend.compare(desired)),
    leftovers: (): Promise<readonly string[]> => translated(() => backend.leftovers()),
    async apply(changes: readonly PlanChange[]): Promise<readonly string[] | void> {
      if (!isReconciled) throw new Error(`${mode}: apply before the first reconcile`);
      return await translated(() => backend.apply(changes));
    },
    watch(onForeignChange: OnForeignChange): Disposable {
      try {
        return backend.watch(onForeignChange);
      } catch (error) {
        throw translate(mode, error);
      }
    },
    cleanup: (): Promise<readonly string[] | void> => translated(() => backend.cleanup()),
    ...(traffic === undefined ? {} : {
      traffic: (plans: ReadonlyMap<PlanKey, ServicePortPlan>): Promise<TrafficCounters> =>
        translated(() => traffic.call(backend, plans)),
    }),
    ...(metrics === undefined
      ? {}
      : { metrics: (): Promise<readonly BackendMetric[]> => translated(() => metrics.call(backend)) }),
    ...(observeTransactions === undefined ? {} : {
      observeTransactions: (observer: TransactionObserver): void =>
        observeTransactions.call(backend, observer),
    }),
    ...(logTo === undefined ? {} : { logTo: (log: Pick<Log, "warn">): void => logTo.call(backend, log) }),
    ...(relaySockets === undefined
      ? {}
      : { relaySockets: (): readonly RelaySocket[] => relaySockets.call(backend) }),
    ...(relayState === undefined ? {} : {
      relayState: (): Promise<RelayState | undefined> => translated(() => relayState.call(backend)),
    }),
    ...(loopbackState === undefined
      ? {}
      : { loopbackState: (limit: number): LoopbackState | undefined => loopbackState.call(backend, limit) }),
    ...(inheritSockets === undefined
      ? {}
      : { inheritSockets: (sockets: NamedSockets): void => inheritSockets.call(backend, sockets) }),
    ...(socketsToKeep === undefined
      ? {}
      : { socketsToKeep: (): NamedSockets => socketsToKeep.call(backend) }),
    ...(drain === undefined ? {} : {
      drain: (isAwaited: boolean): Promise<Draining> => translated(() => drain.call(backend, isAwaited)),
    }),
    ...(serveLocalhostNodePorts === undefined ? {} : {
      serveLocalhostNodePorts: (options: LocalhostOptions): Follower & Disposable =>
        serveLocalhostNodePorts.call(backend, options),
    }),
    ...(nativeText === undefined ? {} : {
      nativeText: (desired: DesiredState): readonly NativeText[] => nativeText.call(backend, desired),
    }),
    ...(prepareNode === undefined ? {} : {
      prepareNode: (localhostNodePorts: boolean): Promise<readonly string[]> =>
        translated(() => prepareNode.call(backend, localhostNodePorts)),
    }),
    ...(cleanUpLeftovers === undefined
      ? {}
      : { cleanUpLeftovers: (): Promise<void> => translated(() => cleanUpLeftovers.call(backend)) }),
    [Symbol.dispose]: (): void => backend[Symbol.dispose](),
  };
}

const unsupported: ReadonlySet<string> = new Set(["EOPNOTSUPP", "EPROTONOSUPPORT", "EAFNOSUPPORT"]);

/** @param rejectedKeys service ports that the rejection is about. */
export function backendError(
  mode: string,
  error: KernelError,
  rejectedKeys: readonly PlanKey[] = [],
): BackendError {
  const advice = unsupported.has(error.errnoName) && error.advice === undefined
    ? ". Most likely the kernel lacks a feature that the mode needs (proxy check says which)"
    : "";
  const Kind = error.errnoName === "EPERM" ? NotPermitted : BackendError;
  return new Kind(`${mode}: ${error.message}${advice}`, rejectedKeys, { cause: error });
}

const systemErrors = Object.values(Deno.errors);

function translate(mode: string, error: unknown): unknown {
  if (error instanceof KernelError) return backendError(mode, error);
  const isOfSystem = error instanceof LibraryError || systemErrors.some((kind) => error instanceof kind) ||
    hasErrno(error);
  if (!isOfSystem || !(error instanceof Error)) return error;
  return new BackendError(`${mode}: ${error.message}`, [], { cause: error });
}

/** Recognises system errors without a class in `Deno.errors`, such as EMFILE (no file descriptor is left). */
function hasErrno(error: unknown): boolean {
  return error instanceof Error && / \(os error \d+\)/.test(error.message);
}
