import type { Requirement } from "../backend/contract.ts";
import type { ConfiguredMode, Mode, Modes } from "../backend/mode.ts";
import { automaticModes, listed } from "./flags/mode_names.ts";

/** The choice of `--proxy-mode=auto`. */
export interface ModeChoice {
  readonly mode: Mode;
  /** For the log and the status: why this mode, and what the modes before it lack. */
  readonly reason: string;
  /** False when no mode can work on this node. `mode` is then the first one that was tried. */
  readonly works: boolean;
}

/**
 * Tries the modes that `auto` may select in their order, and selects the first one whose required features are all
 * there.
 * @param configure reads the options of a mode.
 */
export async function chooseMode(
  modes: Modes,
  configure: (mode: Mode) => ConfiguredMode,
): Promise<ModeChoice> {
  const candidates = modes.filter(({ isAutomatic }) => isAutomatic);
  const names = listed(automaticModes(modes), "and");
  /** Modes by the requirements that they lack. */
  const lacking = new Map<string, string[]>();
  for (const mode of candidates) {
    using backend = configure(mode).create();
    const missing = (await backend.probe()).filter(({ found, severity }) =>
      !found && severity === "required"
    );
    if (missing.length === 0) {
      return {
        mode,
        reason: [`the first of ${names} that can work here`, ...describeLacking(lacking)].join("; "),
        works: true,
      };
    }
    const text = missing.map(describe).join(", ");
    lacking.set(text, [...lacking.get(text) ?? [], mode.name]);
  }
  return {
    mode: candidates[0] ?? modes[0],
    reason: [`none of ${names} can work here`, ...describeLacking(lacking)].join("; "),
    works: false,
  };
}

function describeLacking(lacking: ReadonlyMap<string, readonly string[]>): readonly string[] {
  return [...lacking].map(([text, modes]) =>
    `mode${modes.length === 1 ? "" : "s"} ${listed(modes, "and")} cannot: ${text}`
  );
}

function describe({ name, detail }: Requirement): string {
  return `${name} (${detail})`;
}
