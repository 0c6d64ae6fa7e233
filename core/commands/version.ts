import { VERSION } from "../version.ts";
import type { Command } from "./command.ts";

export const versionCommand: Command = {
  name: "version",
  summary: "print the version",
  description: [],
  arguments: [],
  flags: {},
  readsConfig: false,
  exitCodes: { 0: "the version was printed" },
  errorCode: 1,
  async perform({ terminal }) {
    await terminal.print(`proxy ${VERSION}\n`);
    return 0;
  },
};
