import type { ModeTraits } from "../../backend/mode.ts";
import type { Flag, FlagTable, Offers } from "../../config/flags/flag.ts";
import { flagGroups } from "../../config/flags/table.ts";
import type { Command } from "../command.ts";

/** The words that shells complete. */
export interface CompletedLine {
  readonly commands: readonly CompletedCommand[];
  /** The flags of the proxy itself, which commands that read the configuration have, too. */
  readonly flags: readonly CompletedFlag[];
}

/** A command as shells complete it. */
export interface CompletedCommand {
  readonly name: string;
  readonly summary: string;
  /** Values of its argument. */
  readonly choices: readonly string[];
  /** Flags that only this command has. */
  readonly flags: readonly CompletedFlag[];
}

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

/** Derives the words that shells complete from the table of commands. */
export function completedLine(commands: readonly Command[], modes: readonly ModeTraits[]): CompletedLine {
  return {
    commands: commands.map(({ name, summary, arguments: [argument], flags }) => ({
      name,
      summary,
      choices: argument?.choices ?? (argument?.name === "COMMAND" ? commands.map(({ name }) => name) : []),
      flags: completedTable(flags, modes),
    })),
    flags: completedFlags(modes),
  };
}

/** All flags of the proxy that are not deprecated, in the order of the help. */
export function completedFlags(modes: readonly ModeTraits[]): readonly CompletedFlag[] {
  return flagGroups(modes).flatMap(({ flags }) => completedTable(flags, modes));
}

function completedTable(flags: FlagTable, modes: readonly ModeTraits[]): CompletedFlag[] {
  return Object.entries(flags).filter(([, { deprecated }]) => deprecated === undefined)
    .map(([name, flag]) => completedFlag(name, flag, modes));
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
