import type { CompletedCommand, CompletedFlag, CompletedLine } from "./words.ts";

/** Writes the script for zsh, for a directory of $fpath or for `source`. */
export function zshCompletion({ commands, flags }: CompletedLine): string {
  const described = commands.map(({ name, summary }) => `${name}\\:"${summary}"`).join(" ");
  // The first word that is a command.
  const command = `\${words[(r)(${commands.map(({ name }) => name).join("|")})]}`;
  return `#compdef proxy
# Completions of proxy for zsh: source <(proxy completion zsh)
_proxy() {
  local -a own
  case ${command} in
${commands.map(flagsCase).join("")}  esac
  _arguments $own \\
${flags.flatMap(specifications).map((one) => `    ${one} \\\n`).join("")}    '1:command:((${described}))' \\
    '2:argument:_proxy_argument'
}

_proxy_argument() {
  case ${command} in
${commands.map(argumentCase).join("")}  esac
}

if [[ $funcstack[1] = _proxy ]]; then _proxy "$@"; else compdef _proxy proxy; fi
`;
}

/** The branch for the flags of a command. */
function flagsCase({ name, flags }: CompletedCommand): string {
  return flags.length === 0 ? "" : `    ${name}) own=(${flags.flatMap(specifications).join(" ")}) ;;\n`;
}

/** The branch for the argument of a command. */
function argumentCase({ name, choices }: CompletedCommand): string {
  return choices.length === 0 ? "" : `    ${name}) compadd ${choices.join(" ")} ;;\n`;
}

/** The specifications of a flag, as _arguments reads them: one for each of its names. */
function specifications(flag: CompletedFlag): string[] {
  const { name, short } = flag;
  if (short === undefined) return [specification(flag, name)];
  return [specification(flag, name, `(${short})`), specification(flag, short, `(${name})`)];
}

/** @param excluded the other name, which is no longer offered. */
function specification(
  { summary, value, type, offers, isRepeatable }: CompletedFlag,
  name: string,
  excluded = "",
): string {
  const quoted = summary.replaceAll("'", "'\\''").replaceAll(/[[\]:]/g, "\\$&");
  const repeated = isRepeatable ? "*" : "";
  if (value === "none") return `'${excluded}${repeated}${name}[${quoted}]'`;
  const action = offers === "file"
    ? "_files"
    : offers === "directory"
    ? "_files -/"
    : offers.length > 0
    ? `(${offers.join(" ")})`
    : " ";
  // "=-": only in the same word. "=": there or in the next. "+": for a name of one letter.
  const attachment = value === "attached" ? "=-" : name.startsWith("--") ? "=" : "+";
  const optional = value === "attached" ? ":" : "";
  return `'${excluded}${repeated}${name}${attachment}[${quoted}]:${optional}${
    type.replaceAll(":", "\\:")
  }:${action}'`;
}
