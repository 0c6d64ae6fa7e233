import type { IntakeObserver } from "../../sync/intake.ts";
import type { PlanQueue } from "../../sync/plan_queue.ts";
import type { LoopProgress } from "../../sync/loop_progress.ts";
import type { SyncObserver } from "../../sync/sync_loop.ts";
import type { Family } from "../../net/protocol.ts";
import type { ProxyHealth } from "../../observe/health/health.ts";
import type { HealthCheckPorts } from "../../observe/health/health_check_ports.ts";
import type { Metrics } from "../../observe/metrics/metrics.ts";
import type { Activity } from "../../observe/status/activity.ts";
import { type PlanKey, printedNameOf, serviceNameOf } from "../../plan/plan.ts";
import type { ServiceWarning } from "../../source.ts";
import type { SyncFailures } from "../../observe/metrics/sync_metrics.ts";
import type { StatusLine } from "../../observe/service_manager/status_line.ts";

export interface Observed {
  readonly families: readonly Family[];
  readonly metrics: Metrics;
  readonly syncFailures: SyncFailures;
  readonly health: ProxyHealth;
  readonly healthCheckPorts: HealthCheckPorts;
  readonly queue: Pick<PlanQueue, "view" | "waiting" | "noLocalEndpoints" | "conflicts">;
  readonly progress: LoopProgress;
  readonly status: StatusLine;
  readonly activity: Activity;
  /** Tells the owner of a Service about a problem. */
  readonly warn: (warning: ServiceWarning) => void;
  /** Called after a full sync: a good time to give memory back. */
  readonly bulkDone: () => void;
}

/** Turns what the sync loop and the intake report into metrics, health and the status for the service manager. */
export function observe(observed: Observed): SyncObserver & IntakeObserver {
  const {
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
  } = observed;
  for (const family of families) {
    metrics.conntrack.conntrackFailed(family, 0);
    metrics.program.start(family);
  }
  return {
    received(kind) {
      if (kind === "Service") metrics.sync.serviceChanged();
      if (kind === "EndpointSlice") metrics.sync.endpointsChanged();
    },
    invalid({ ref, why }) {
      activity.invalid(ref, why);
      if (ref.kind !== "Service") return;
      const { namespace, name } = ref;
      warn({ namespace, name, reason: "InvalidService", action: "ReadService", note: why });
    },
    corrected: (ref) => activity.corrected(ref),
    eligible: (eligible) => health.setEligible(eligible),
    connected(connected) {
      health.setConnected(connected);
      status.connected(connected);
      activity.connected(connected);
    },
    queued() {
      progress.queued();
      metrics.sync.changesPending(queue.waiting);
      for (const family of families) {
        health.queuedUpdate(family);
        metrics.sync.queued(family);
      }
    },
    started() {
      progress.started();
      status.started();
      for (const family of families) health.syncStarted(family);
    },
    synced(sync) {
      const { full, seconds, triggerTimes, reason, differences, programs } = sync;
      activity.synced(sync);
      for (const family of families) {
        metrics.sync.synced({ family, full, seconds });
        metrics.sync.noLocalEndpoints(family, queue.noLocalEndpoints(family));
      }
      for (const { family, time } of triggerTimes) metrics.sync.networkProgrammed(family, time);
      if (reason !== undefined) metrics.program.fullSynced({ reason, differences, programs });
      if (full) bulkDone();
    },
    healthChecks(changed) {
      metrics.sync.changesPending(queue.waiting);
      metrics.sync.frontendConflicts(queue.conflicts);
      healthCheckPorts.sync(changed, queue.view.nodePortAddresses);
    },
    settled() {
      status.settled();
      for (const family of families) {
        metrics.sync.settled(family);
        health.updated(family);
      }
    },
    failed({ full, problem, rejected }) {
      if (rejected === undefined) activity.failed(problem);
      else {
        activity.rejected(printedNameOf(rejected), problem);
        warn(rejectionWarning(rejected, problem));
      }
      for (const family of families) syncFailures.count(family, full);
    },
    ended() {
      progress.ended();
      status.ended();
    },
  };
}

function rejectionWarning(key: PlanKey, problem: string): ServiceWarning {
  const [namespace = "", name = ""] = serviceNameOf(key).split("/");
  const note = `the kernel rejected service port ${printedNameOf(key)}: ${problem}`;
  return { namespace, name, reason: "RejectedByKernel", action: "ProgramService", note };
}
