import type { ModeTraits } from "../../backend/mode.ts";
import type { Flag, Offers } from "../../config/flags/flag.ts";
import { flagGroups } from "../../config/flags/table.ts";

/** The first words of command lines, with what they do. */
export const commands: Readonly<Record<string, string>> = {
  check: "report whether this kernel and these privileges suffice",
  completion: "print the completions for a shell",
  help: "print the help",
  version: "print the version",
};

/** Shells that `proxy completion` has a script for. */
export const shells = ["bash", "zsh", "fish"] as const;

/** A flag as shells complete it. */
export interface CompletedFlag {
  /** `--config`; `-v` for a flag that has no long name. */
  readonly name: string;
  /** `-h` */
  readonly short: string | undefined;
  /** The first sentence of the help, without its period. */
  readonly summary: string;
  /** "none" for a switch; "attached" if the value may follow only after "=", or be missing. */
  readonly value: "none" | "attached" | "next";
  /** Name of the type of the value. */
  readonly type: string;
  readonly offers: Offers;
  readonly isRepeatable: boolean;
}

/** All flags that are not deprecated, in the order of the help. */
export function completedFlags(modes: readonly ModeTraits[]): readonly CompletedFlag[] {
  return flagGroups(modes).flatMap(({ flags }) =>
    Object.entries(flags).filter(([, { deprecated }]) => deprecated === undefined)
      .map(([name, flag]) => completedFlag(name, flag, modes))
  );
}

function completedFlag(name: string, flag: Flag, modes: readonly ModeTraits[]): CompletedFlag {
  const { type, shorthand, offers = [] } = flag;
  const help = typeof flag.help === "string" ? flag.help : flag.help(modes);
  const hasLongName = shorthand !== name;
  return {
    name: hasLongName ? `--${name}` : `-${name}`,
    short: hasLongName && shorthand !== undefined ? `-${shorthand}` : undefined,
    summary: help.replace(/\. .*/s, "").replace(/\.$/, ""),
    value: type === "bool" ? "none" : flag.valueIfBare === undefined ? "next" : "attached",
    type,
    offers: typeof offers === "function" ? offers(modes) : offers,
    isRepeatable: type === "list" || type === "switches",
  };
}
