import { loadConfig } from "../../config/load.ts";
import type { Command } from "../command.ts";
import { outputFlags, outputOf, printOutput } from "../output/output.ts";
import { check, rowsOf } from "./check.ts";

export const checkCommand: Command = {
  name: "check",
  summary: "report whether this kernel and these privileges suffice",
  description: [
    "Tries each requirement of the mode, and changes nothing. Run it as the same user, with the same capabilities and " +
    "in the same namespaces as the proxy.",
  ],
  arguments: [],
  flags: outputFlags,
  readsConfig: true,
  exitCodes: { 0: "the mode can work here", 1: "a requirement is missing, or an error" },
  errorCode: 1,
  async perform({ commandLine, platform, terminal }) {
    const output = outputOf(commandLine);
    const { config } = await loadConfig(commandLine, platform.modes, terminal);
    const report = await check(config.mode);
    await printOutput(report, output, terminal, (table) => `mode ${report.mode}\n${table(rowsOf(report))}`);
    return report.ok ? 0 : 1;
  },
};
