import { commands, type CompletedFlag, shells } from "./words.ts";

/** Writes the script for bash 4.4 or later, with or without the package bash-completion. */
export function bashCompletion(flags: readonly CompletedFlag[]): string {
  const names = flags.flatMap(({ name, short }) => short === undefined ? [name] : [name, short]);
  return `# Completions of proxy for bash: source <(proxy completion bash)
_proxy() {
  local current=\${COMP_WORDS[COMP_CWORD]} flag='' word command=''
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
  case $flag in
${flags.map(valueCase).join("")}  esac
  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "${names.join(" ")}" -- "$current")
    return
  fi
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in
      ${Object.keys(commands).join(" | ")}) command=$word ;;
    esac
  done
  case $command in
    "") mapfile -t COMPREPLY < <(compgen -W "${Object.keys(commands).join(" ")}" -- "$current") ;;
    completion) mapfile -t COMPREPLY < <(compgen -W "${shells.join(" ")}" -- "$current") ;;
  esac
}
complete -F _proxy proxy
`;
}

/** The branch for the value of a flag. */
function valueCase({ name, value, offers }: CompletedFlag): string {
  if (value === "none") return "";
  const patterns = value === "attached" ? `${name}=` : `${name} | ${name}=`;
  if (typeof offers !== "string" && offers.length === 0) return `    ${patterns}) return ;;\n`;
  const [options, generated] = typeof offers === "string"
    ? ["compopt -o filenames 2>/dev/null; ", offers === "file" ? "-f" : "-d"]
    : ["", `-W "${offers.join(" ")}"`];
  return `    ${patterns}) ${options}mapfile -t COMPREPLY < <(compgen ${generated} -- "$current"); return ;;\n`;
}
