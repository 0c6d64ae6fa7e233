import type { Flag } from "../config/flags/flag.ts";
import { flagGroups } from "../config/flags/table.ts";
import type { ModeTraits } from "../backend/mode.ts";

const WIDTH = 100;
/** Columns before the explanation of a flag. */
const INDENT = 8;

/** Makes the text of `proxy --help` from the tables of flags. */
export function helpText(modes: readonly ModeTraits[]): string {
  const intro = [
    "proxy forwards connections to Kubernetes Services to one of their endpoints, on the node it runs on.",
    "It accepts the flags and the configuration file of kube-proxy.",
    "",
    "  proxy [flags]            follow the cluster until stopped; the rules stay in force afterwards",
    "  proxy check [flags]      report whether this kernel and these privileges suffice",
    "  proxy --cleanup          remove all rules and exit",
    "  proxy completion SHELL   print the completions for bash, zsh or fish",
    "  proxy version            print the version",
    "  proxy help               print this text",
  ];
  const sections = flagGroups(modes).map(({ title, flags }) => {
    const current = Object.entries(flags).filter(([, { deprecated }]) => deprecated === undefined);
    return [`${title}:`, ...current.flatMap(([name, flag]) => flagLines(name, flag, modes))].join("\n");
  });
  return [intro.join("\n"), ...sections].join("\n\n") + "\n";
}

function flagLines(name: string, flag: Flag, modes: readonly ModeTraits[]): string[] {
  const short = flag.shorthand === undefined ? "" : `-${flag.shorthand}, `;
  // "-v" has no long name.
  const names = flag.shorthand === name ? `-${name}` : `${short}--${name}`;
  const help = typeof flag.help === "string" ? flag.help : flag.help(modes);
  const shown = defaultText(flag);
  return [
    `  ${names}${valueText(flag)}`,
    ...wrap(shown === "" ? help : `${help} Default: ${shown}.`).map((line) => " ".repeat(INDENT) + line),
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

function wrap(text: string): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > WIDTH - INDENT) {
      lines.push(line);
      line = "";
    }
    line += line === "" ? word : ` ${word}`;
  }
  return [...lines, line];
}
