import type { ModeTraits } from "../../backend/mode.ts";
import type { FlagTable } from "./flag.ts";

/** The value of --proxy-mode that leaves the choice to the program. */
export const AUTO = "auto";

/** The modes that `auto` may select, in their order. */
export function automaticModes(modes: readonly ModeTraits[]): readonly string[] {
  return modes.filter(({ isAutomatic }) => isAutomatic).map(({ name }) => name);
}

/** "a", "a or b", "a, b or c". */
export function listed(names: readonly string[], conjunction: "and" | "or"): string {
  const last = names.at(-1) ?? "";
  return names.length < 2 ? last : `${names.slice(0, -1).join(", ")} ${conjunction} ${last}`;
}

/** "mode a", "modes a and b": the modes with a trait. */
export function modesWith(modes: readonly ModeTraits[], has: (mode: ModeTraits) => boolean): string {
  const names = modes.filter(has).map(({ name }) => name);
  return `${names.length === 1 ? "mode" : "modes"} ${listed(names, "and")}`;
}

/** The default of --nodeport-addresses: "primary in modes a and b, all in mode c". */
export function nodePortDefaults(modes: readonly ModeTraits[]): string {
  const defaults = new Set(modes.map(({ planning }) => planning.defaultNodePortAddresses));
  return [...defaults].map((word) =>
    `${word} in ${modesWith(modes, ({ planning }) => planning.defaultNodePortAddresses === word)}`
  ).join(", ");
}

/** True when the configuration file has fields for these flags. */
export function hasFields(flags: FlagTable): boolean {
  return Object.values(flags).some(({ fields }) => fields !== undefined);
}
