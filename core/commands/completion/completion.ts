import type { ModeTraits } from "../../backend/mode.ts";
import { bashCompletion } from "./bash.ts";
import { fishCompletion } from "./fish.ts";
import { type CompletedFlag, completedFlags, shells } from "./words.ts";
import { zshCompletion } from "./zsh.ts";

const scripts: Readonly<Record<typeof shells[number], (flags: readonly CompletedFlag[]) => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

/** Returns the script that makes a shell complete the command lines of the proxy; undefined for an unknown shell. */
export function completionScript(shell: string, modes: readonly ModeTraits[]): string | undefined {
  const known = shells.find((name) => name === shell);
  return known && scripts[known](completedFlags(modes));
}
