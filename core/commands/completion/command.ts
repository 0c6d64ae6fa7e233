import { listed } from "../../config/flags/mode_names.ts";
import type { Command } from "../command.ts";
import { completionScript, shells } from "./completion.ts";

export const completionCommand: Command = {
  name: "completion",
  summary: "print the completions for a shell",
  description: [
    "Prints a script that makes a shell complete command lines of the proxy: source <(proxy completion bash), or the " +
    "same with zsh; proxy completion fish | source.",
  ],
  arguments: [{
    name: "SHELL",
    what: `the name of a shell, ${listed(shells, "or")}`,
    choices: shells,
  }],
  flags: {},
  readsConfig: false,
  exitCodes: { 0: "the script was printed", 1: "there is no script for this shell" },
  errorCode: 1,
  async perform({ words: [shell = ""], commands, platform, terminal }) {
    await terminal.print(completionScript(shell, commands, platform.modes) ?? "");
    return 0;
  },
};
