import type { IntakeObserver } from "../loop/intake.ts";
import type { SyncObserver } from "../loop/sync_loop.ts";
import type { Family } from "../model/objects.ts";
import type { ProxyHealth } from "../observe/health.ts";
import type { Metrics } from "../observe/metrics.ts";

export interface Observed {
  readonly families: readonly Family[];
  readonly metrics: Metrics;
  readonly health: ProxyHealth;
  /** Called after a sync of everything: a good time to tidy up memory. */
  readonly bulkDone: () => void;
}

/** What the loop and the intake tell, as metrics and health. */
export function observe({ families, metrics, health, bulkDone }: Observed): SyncObserver & IntakeObserver {
  for (const family of families) metrics.nftablesSyncFailed(family, 0);
  return {
    received(kind) {
      if (kind === "Service") metrics.serviceChanged();
      if (kind === "EndpointSlice") metrics.endpointsChanged();
    },
    eligible: (eligible) => health.setEligible(eligible),
    connected: (connected) => health.setConnected(connected),
    queued() {
      for (const family of families) {
        health.queuedUpdate(family);
        metrics.syncQueued(family);
      }
    },
    synced({ full, seconds, triggerTimes }) {
      for (const family of families) {
        metrics.syncObserved({ family, full, seconds });
      }
      for (const { family, time } of triggerTimes) metrics.networkProgrammed(family, time);
      if (full) bulkDone();
    },
    settled() {
      for (const family of families) health.updated(family);
    },
    failed() {
      for (const family of families) metrics.nftablesSyncFailed(family);
    },
  };
}
