import type { ModeTraits } from "../../backend/mode.ts";
import type { FlagTable } from "./flag.ts";
import { groupsAfterModes, groupsBeforeModes } from "./flags.ts";
import { hasFields } from "./mode_names.ts";
import { removedFlags } from "./removed_flags.ts";

export interface FlagGroup {
  readonly title: string;
  readonly flags: FlagTable;
}

/** All flags in the order of the help: kube-proxy's and the flags of the modes. */
export function flagGroups(modes: readonly ModeTraits[]): readonly FlagGroup[] {
  const ofModes = modes.filter(({ flags }) => Object.keys(flags).length > 0).map(({ name, flags }) => ({
    title: `Mode ${name} only${hasFields(flags) ? "" : " (not in kube-proxy)"}`,
    flags,
  }));
  return [...groupsBeforeModes, ...ofModes, ...groupsAfterModes];
}

/** All flags by name, with those that are accepted without effect. */
export function allFlags(modes: readonly ModeTraits[]): FlagTable {
  return Object.assign({}, removedFlags, ...flagGroups(modes).map(({ flags }) => flags));
}
