import type { Flag } from "../config/flags/flag.ts";
import { flagGroups } from "../config/flags/table.ts";
import type { ModeTraits } from "../backend/mode.ts";

const WIDTH = 100;
/** Where the explanations begin. */
const INDENT = 8;

/** What `proxy --help` prints, made from the table of flags. */
export function helpText(modes: readonly ModeTraits[]): string {
  const intro = [
    "proxy makes connections to a Kubernetes Service reach one of its endpoints, on the node it runs on.",
    "It takes kube-proxy's flags and its configuration file.",
    "",
    "  proxy [flags]            follow the cluster until stopped; the rules stay when it ends",
    "  proxy check [flags]      say what this kernel and these privileges allow",
    "  proxy --cleanup          remove every rule and end",
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
  // "-v" has no longer name worth showing.
  const names = flag.shorthand === name ? `-${name}` : `${short}--${name}`;
  const help = typeof flag.help === "string" ? flag.help : flag.help(modes);
  const shown = defaultText(flag);
  return [
    `  ${names}${flag.type === "bool" ? "" : ` ${flag.type}`}`,
    ...wrap(shown === "" ? help : `${help} Default: ${shown}.`).map((line) => " ".repeat(INDENT) + line),
  ];
}

/** "" for what needs no telling: a switch that is off, an empty text. */
function defaultText({ default: value }: Flag): string {
  if (value === false || value === "") return "";
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
