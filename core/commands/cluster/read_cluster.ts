import type { ProxyConfig } from "../../config/config.ts";
import type { Address } from "../../net/address.ts";
import type { Family } from "../../net/protocol.ts";
import { InterfaceAddresses } from "../../node/interface_addresses.ts";
import { supportedFamilies } from "../../node/interfaces.ts";
import type { Log } from "../../observe/log.ts";
import type { DesiredState } from "../../plan/plan.ts";
import type { ServiceWarning, Sink, UnusedObject } from "../../source.ts";
import type { NodeView } from "../../sync/node_view.ts";
import { PlanQueue } from "../../sync/plan_queue.ts";
import { UserError } from "../../user_error.ts";
import { currentView } from "./current_view.ts";
import { openSource, type Purpose } from "./open_source.ts";

/** Everything that the source has at one moment, and what this node would do with it. */
export interface Cluster {
  readonly store: PlanQueue["store"];
  readonly families: readonly Family[];
  readonly view: NodeView;
  readonly desired: DesiredState;
  /** Addresses of the interfaces of this node. */
  readonly addresses: readonly Address[];
  /** Problems that the owners of Services can solve. */
  readonly warnings: readonly ServiceWarning[];
  readonly unused: readonly UnusedObject[];
}

export interface ReadOptions {
  readonly deadlineMs?: number;
  /** "start": fails if a start would leave the kernel as it is, because a broken manifest hides what is in force. */
  readonly purpose?: Exclude<Purpose, "program">;
  /** Receives each object as it was decoded. */
  readonly read?: (raw: unknown) => void;
}

/** Time for the source to deliver everything. */
const DEADLINE_MS = 30_000;

/**
 * Reads the configured source once, and plans what it has. Changes nothing on the node.
 * @throws UserError if the source does not deliver everything in time, or would not at a start.
 */
export async function readCluster(
  config: ProxyConfig,
  log: Log,
  { deadlineMs = DEADLINE_MS, purpose = "read", read }: ReadOptions = {},
): Promise<Cluster> {
  const end = new AbortController();
  const families = await supportedFamilies();
  const serviceDevices = config.modes.flatMap(({ serviceDevice }) => serviceDevice ?? []);
  const interfaces = new InterfaceAddresses({ serviceDevices, log });
  const warnings: ServiceWarning[] = [];
  const unused: UnusedObject[] = [];
  const queue = new PlanQueue(config.nodeName, log, (warning) => warnings.push(warning));
  let problem = "it does not answer";
  const isComplete = Promise.withResolvers<void>();
  const sink: Sink = {
    upsert: (object) => queue.upsert(object),
    delete: (ref) => queue.delete(ref),
    synced: () => isComplete.resolve(),
    connected(reason) {
      problem = reason ?? problem;
      // An API server may answer in a moment. A manifest has to be corrected.
      if (reason !== undefined && purpose === "start" && config.source.kind === "manifests") {
        isComplete.reject(new UserError(`a start would leave the kernel as it is: ${reason}`));
      }
    },
    unused: (object) => unused.push(object),
    ...(read === undefined ? {} : { read }),
  };
  const timer = setTimeout(
    () =>
      isComplete.reject(
        new UserError(`the objects cannot be read within ${deadlineMs / 1000} s: ${problem}`),
      ),
    deadlineMs,
  );
  const running = [
    interfaces.follow(() => {}, end.signal),
    openSource(config, log, { purpose }).run(sink, end.signal),
  ];
  try {
    await Promise.race([Promise.all([interfaces.listed, isComplete.promise]), ...running]);
  } finally {
    clearTimeout(timer);
    end.abort();
    await Promise.allSettled(running);
  }
  const view = currentView(config, families, queue.store, interfaces.current);
  queue.setView(view);
  const batch = queue.take();
  batch.accept(batch.changes);
  batch.close();
  const desired = { settings: view.settings, plans: queue.applied };
  return { store: queue.store, families, view, desired, addresses: interfaces.current, warnings, unused };
}
