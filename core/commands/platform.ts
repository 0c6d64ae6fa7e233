import type { Backends } from "../../backends/registry.ts";
import type { Follower, FollowerOptions } from "../backend/follower.ts";

/** The parts of the program that core does not import. main.ts puts them together. */
export interface Platform {
  readonly backends: Backends;
  /** Creates the follower that removes stale conntrack entries. */
  readonly createConntrackReconciler: (options: FollowerOptions) => Follower;
}
