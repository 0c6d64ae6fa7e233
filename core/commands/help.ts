import type { ModeTraits } from "../backend/mode.ts";
import type { Flag, FlagTable } from "../config/flags/flag.ts";
import { flagGroups } from "../config/flags/table.ts";
import type { Command } from "./command.ts";
import { findCommand, usage } from "./find_command.ts";

const WIDTH = 100;
/** Columns before the explanation of a flag. */
const INDENT = 8;

export const helpCommand: Command = {
  name: "help",
  summary: "print this text, or the help of a command",
  description: [],
  arguments: [{ name: "COMMAND", what: "the name of a command", isOptional: true }],
  flags: {},
  readsConfig: false,
  exitCodes: { 0: "the help was printed", 1: "there is no such command" },
  errorCode: 1,
  async perform({ words: [word], commands, platform: { modes }, terminal }) {
    const text = word === undefined
      ? helpText(commands, modes)
      : commandHelp(findCommand(commands, word), modes);
    await terminal.print(text);
    return 0;
  },
};

/** Makes the text of `proxy --help` from the tables of commands and flags. */
export function helpText(commands: readonly Command[], modes: readonly ModeTraits[]): string {
  const lines: readonly (readonly [line: string, summary: string])[] = [
    ["[flags]", "follow the cluster until stopped; the rules stay in force"],
    ["--cleanup", "remove all rules and exit"],
    ...commands.map((command) => [usage(command), command.summary] as const),
  ];
  const width = Math.max(...lines.map(([line]) => line.length));
  const intro = [
    "proxy forwards connections to Kubernetes Services to one of their endpoints, on the node it runs on.",
    "It accepts the flags and the configuration file of kube-proxy.",
    "",
    ...lines.map(([line, summary]) => `  proxy ${line.padEnd(width)}  ${summary}`),
    "",
    "proxy COMMAND --help shows the flags and the exit codes of a command.",
  ];
  const sections = flagGroups(modes).map(({ title, flags }) => flagSection(title, flags, modes));
  return [intro.join("\n"), ...sections].join("\n\n") + "\n";
}

/** Makes the text of `proxy COMMAND --help`. */
export function commandHelp(command: Command, modes: readonly ModeTraits[]): string {
  const { name, summary, description, flags, readsConfig, exitCodes } = command;
  const sections = [
    `proxy ${name}: ${summary}`,
    `  proxy ${usage(command)}`,
    ...description.map((paragraph) => wrap(paragraph, WIDTH).join("\n")),
    ...(Object.keys(flags).length === 0 ? [] : [flagSection("Flags of this command", flags, modes)]),
    ...(readsConfig
      ? ["It reads the flags and the configuration file of the proxy: proxy --help lists them."]
      : []),
    ["Exit codes:", ...Object.entries(exitCodes).map(([code, meaning]) => `  ${code}  ${meaning}`)].join(
      "\n",
    ),
  ];
  return sections.join("\n\n") + "\n";
}

function flagSection(title: string, flags: FlagTable, modes: readonly ModeTraits[]): string {
  const current = Object.entries(flags).filter(([, { deprecated }]) => deprecated === undefined);
  return [`${title}:`, ...current.flatMap(([name, flag]) => flagLines(name, flag, modes))].join("\n");
}

function flagLines(name: string, flag: Flag, modes: readonly ModeTraits[]): string[] {
  const short = flag.shorthand === undefined ? "" : `-${flag.shorthand}, `;
  // "-v" has no long name.
  const names = flag.shorthand === name ? `-${name}` : `${short}--${name}`;
  const help = typeof flag.help === "string" ? flag.help : flag.help(modes);
  const shown = defaultText(flag);
  return [
    `  ${names}${valueText(flag)}`,
    ...wrap(shown === "" ? help : `${help} Default: ${shown}.`, WIDTH - INDENT)
      .map((line) => " ".repeat(INDENT) + line),
  ];
}

function valueText({ type, valueIfBare }: Flag): string {
  if (type === "bool") return "";
  return valueIfBare === undefined ? ` ${type}` : `[=${type}]`;
}

/** "" for defaults that need no mention: a bool that is off, an empty text. */
function defaultText({ default: value }: Flag): string {
  if (value === false || value === "false" || value === "") return "";
  return typeof value === "object" ? "" : String(value);
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = "";
    }
    line += line === "" ? word : ` ${word}`;
  }
  return [...lines, line];
}
