import { commands, type CompletedFlag, shells } from "./words.ts";

/** Writes the script for fish. */
export function fishCompletion(flags: readonly CompletedFlag[]): string {
  const names = Object.keys(commands).join(" ");
  const lines = [
    "# Completions of proxy for fish: proxy completion fish | source",
    "complete -c proxy -f",
    ...Object.entries(commands).map(([name, what]) =>
      `complete -c proxy -n "not __fish_seen_subcommand_from ${names}" -a ${name} -d ${quoted(what)}`
    ),
    `complete -c proxy -n "__fish_seen_subcommand_from completion" -a "${shells.join(" ")}"`,
    ...flags.map(flagLine),
  ];
  return lines.join("\n") + "\n";
}

function flagLine({ name, short, summary, value, offers }: CompletedFlag): string {
  const long = name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`;
  const names = short === undefined ? long : `${long} -s ${short.slice(1)}`;
  // -x: the flag has a value, which is no file. -r -F: its value is a file.
  const argument = value !== "next" ? "" : offers === "file" ? " -r -F" : ` -x${wordsOf(offers)}`;
  return `complete -c proxy ${names}${argument} -d ${quoted(summary)}`;
}

function wordsOf(offers: CompletedFlag["offers"]): string {
  if (offers === "directory") return ' -a "(__fish_complete_directories)"';
  return offers.length === 0 || typeof offers === "string" ? "" : ` -a "${offers.join(" ")}"`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
