import type { CompletedCommand, CompletedFlag, CompletedLine } from "./words.ts";

/** Writes the script for bash 4.4 or later, with or without the package bash-completion. */
export function bashCompletion({ commands, flags }: CompletedLine): string {
  const names = commands.map(({ name }) => name);
  return `# Completions of proxy for bash: source <(proxy completion bash)
_proxy() {
  local current=\${COMP_WORDS[COMP_CWORD]} flag='' word command='' flags='${namesOf(flags)}'
  COMPREPLY=()
  # Bash makes three words of --flag=value.
  if [[ $current == = ]]; then
    flag=\${COMP_WORDS[COMP_CWORD - 1]}=
    current=
  elif [[ \${COMP_WORDS[COMP_CWORD - 1]} == = ]]; then
    flag=\${COMP_WORDS[COMP_CWORD - 2]}=
  else
    flag=\${COMP_WORDS[COMP_CWORD - 1]}
  fi
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in
      ${names.join(" | ")})
        command=$word
        break
        ;;
    esac
  done
  case $command:$flag in
${commands.flatMap(({ name, flags }) => flags.map((flag) => valueCase(flag, `${name}:`))).join("")}${
    flags.map((flag) => valueCase(flag, "*:")).join("")
  }  esac
  if [[ $current == -* ]]; then
    case $command in
${commands.map(flagsCase).join("")}    esac
    mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$current")
    return
  fi
  case $command in
    "") mapfile -t COMPREPLY < <(compgen -W "${names.join(" ")}" -- "$current") ;;
${commands.map(argumentCase).join("")}  esac
}
complete -F _proxy proxy
`;
}

function namesOf(flags: readonly CompletedFlag[]): string {
  return flags.flatMap(({ name, short }) => short === undefined ? [name] : [name, short]).join(" ");
}

/** The branch for the flags of a command. */
function flagsCase({ name, flags }: CompletedCommand): string {
  return flags.length === 0 ? "" : `      ${name}) flags="${namesOf(flags)} $flags" ;;\n`;
}

/** The branch for the argument of a command. */
function argumentCase({ name, choices }: CompletedCommand): string {
  return choices.length === 0
    ? ""
    : `    ${name}) mapfile -t COMPREPLY < <(compgen -W "${choices.join(" ")}" -- "$current") ;;\n`;
}

/** The branch for the value of a flag. */
function valueCase({ name, short, value, offers }: CompletedFlag, prefix: string): string {
  if (value === "none") return "";
  const written = value === "attached"
    ? [`${name}=`]
    : [name, `${name}=`, ...(short === undefined ? [] : [short])];
  const patterns = written.map((one) => prefix + one).join(" | ");
  if (typeof offers !== "string" && offers.length === 0) return `    ${patterns}) return ;;\n`;
  const [options, generated] = typeof offers === "string"
    ? ["compopt -o filenames 2>/dev/null; ", offers === "file" ? "-f" : "-d"]
    : ["", `-W "${offers.join(" ")}"`];
  return `    ${patterns}) ${options}mapfile -t COMPREPLY < <(compgen ${generated} -- "$current"); return ;;\n`;
}
