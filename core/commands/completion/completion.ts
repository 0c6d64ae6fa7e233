import type { ModeTraits } from "../../backend/mode.ts";
import type { Command } from "../command.ts";
import { bashCompletion } from "./bash.ts";
import { fishCompletion } from "./fish.ts";
import { type CompletedLine, completedLine } from "./words.ts";
import { zshCompletion } from "./zsh.ts";

const scripts = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
} as const satisfies Readonly<Record<string, (line: CompletedLine) => string>>;

/** Shells that `proxy completion` has a script for. */
export const shells = ["bash", "zsh", "fish"] as const satisfies readonly (keyof typeof scripts)[];

/** Returns the script that makes a shell complete the command lines of the proxy; undefined for an unknown shell. */
export function completionScript(
  shell: string,
  commands: readonly Command[],
  modes: readonly ModeTraits[],
): string | undefined {
  const known = shells.find((name) => name === shell);
  return known && scripts[known](completedLine(commands, modes));
}
