import { commands, type CompletedFlag, shells } from "./words.ts";

/** Writes the script for zsh, for a directory of $fpath or for `source`. */
export function zshCompletion(flags: readonly CompletedFlag[]): string {
  const described = Object.entries(commands).map(([name, what]) => `${name}\\:"${what}"`).join(" ");
  return `#compdef proxy
# Completions of proxy for zsh: source <(proxy completion zsh)
_proxy() {
  _arguments \\
${flags.map((flag) => `    ${specification(flag)} \\\n`).join("")}    '1:command:((${described}))' \\
    '2:shell:_proxy_shell'
}

_proxy_shell() {
  (( $words[(Ie)completion] )) && compadd ${shells.join(" ")}
}

if [[ $funcstack[1] = _proxy ]]; then _proxy "$@"; else compdef _proxy proxy; fi
`;
}

/** The specification of a flag, as _arguments reads it. */
function specification({ name, short, summary, value, type, offers, isRepeatable }: CompletedFlag): string {
  const quoted = summary.replaceAll("'", "'\\''").replaceAll(/[[\]:]/g, "\\$&");
  const repeated = isRepeatable ? "*" : "";
  if (short !== undefined) return `'(${name} ${short})'{${name},${short}}'[${quoted}]'`;
  if (value === "none") return `'${repeated}${name}[${quoted}]'`;
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
  return `'${repeated}${name}${attachment}[${quoted}]:${optional}${type.replaceAll(":", "\\:")}:${action}'`;
}
