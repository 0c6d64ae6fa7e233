import type { Follower, FollowerOptions } from "../backend/follower.ts";
import type { Modes } from "../backend/mode.ts";
import type { ConntrackSettings } from "../node/host_settings.ts";
import type { Log } from "../observe/log.ts";

/**
 * The parts of the program that main.ts passes in: those that core does not import, and those that change the node, so
 * that tests of commands leave it as it is.
 */
export interface Platform {
  readonly modes: Modes;
  /** Name of the socket that is the lock of a network namespace, see `takeLock`. */
  readonly lockName: string;
  /** Creates the follower that removes stale conntrack entries. */
  readonly createConntrackReconciler: (options: FollowerOptions) => Follower & Disposable;
  /** Applies the section `conntrack` to the kernel. */
  readonly setConntrackSysctls: (settings: ConntrackSettings, log: Log) => void;
  /** Sets the likelihood that the kernel kills this process. */
  readonly setOomScoreAdj: (value: number, isDefault: boolean, log: Log) => void;
}
