import type { CompletedCommand, CompletedFlag, CompletedLine } from "./words.ts";

/** Writes the script for fish. */
export function fishCompletion({ commands, flags }: CompletedLine): string {
  const names = commands.map(({ name }) => name).join(" ");
  const lines = [
    "# Completions of proxy for fish: proxy completion fish | source",
    "complete -c proxy -f",
    ...commands.map(({ name, summary }) =>
      `complete -c proxy -n "not __fish_seen_subcommand_from ${names}" -a ${name} -d ${quoted(summary)}`
    ),
    ...commands.flatMap(commandLines),
    ...flags.map((flag) => flagLine(flag)),
  ];
  return lines.join("\n") + "\n";
}

/** The lines for the argument and the flags of a command. */
function commandLines({ name, choices, flags }: CompletedCommand): string[] {
  const condition = ` -n "__fish_seen_subcommand_from ${name}"`;
  const argument = choices.length === 0 ? [] : [`complete -c proxy${condition} -a "${choices.join(" ")}"`];
  return [...argument, ...flags.map((flag) => flagLine(flag, condition))];
}

function flagLine({ name, short, summary, value, offers }: CompletedFlag, condition = ""): string {
  const long = name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`;
  const names = short === undefined ? long : `${long} -s ${short.slice(1)}`;
  // -x: the flag has a value, which is no file. -r -F: its value is a file.
  const argument = value !== "next" ? "" : offers === "file" ? " -r -F" : ` -x${wordsOf(offers)}`;
  return `complete -c proxy${condition} ${names}${argument} -d ${quoted(summary)}`;
}

function wordsOf(offers: CompletedFlag["offers"]): string {
  if (offers === "directory") return ' -a "(__fish_complete_directories)"';
  return offers.length === 0 || typeof offers === "string" ? "" : ` -a "${offers.join(" ")}"`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
