import type { Follower, FollowerOptions } from "../backend/follower.ts";
import type { Modes } from "../backend/mode.ts";

/** The parts of the program that core does not import. main.ts puts them together. */
export interface Platform {
  readonly modes: Modes;
  /** Creates the follower that removes stale conntrack entries. */
  readonly createConntrackReconciler: (options: FollowerOptions) => Follower;
}
