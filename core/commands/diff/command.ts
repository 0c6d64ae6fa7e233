import { loadConfig } from "../../config/load.ts";
import type { Command } from "../command.ts";
import { commandLog } from "../output/command_log.ts";
import { outputFlags, outputOf, printOutput } from "../output/output.ts";
import { readCluster } from "../cluster/read_cluster.ts";
import { leftoversOfOtherModes } from "../cleanup/other_modes.ts";
import { diffReport, diffText } from "./report.ts";

export const diffCommand: Command = {
  name: "diff",
  summary: "show what a start would change in this kernel",
  description: [
    "Reads the objects from the source of the proxy, plans them, reads the kernel, and shows what a start with the same " +
    "flags would add (+), change (~) and remove (-), and what it would remove of other modes afterwards. Changes " +
    "nothing and takes no lock, but the kernel may load the modules of the mode. Needs the same privileges as the proxy, " +
    "to read the kernel.",
    "With --manifests, a start waits while a broken file hides objects that are in force. Then this is an error that " +
    "names the file.",
    "Each list has at most 200 lines, and the number of the rest.",
  ],
  arguments: [],
  flags: outputFlags,
  readsConfig: true,
  exitCodes: { 0: "nothing would change", 1: "something would change", 2: "an error: nothing can be said" },
  errorCode: 2,
  async perform({ commandLine, platform, terminal }) {
    const output = outputOf(commandLine);
    const { config } = await loadConfig(commandLine, platform.modes, terminal);
    const { desired } = await readCluster(config, commandLog(config, terminal), { purpose: "start" });
    using backend = config.mode.create();
    const comparison = await backend.compare(desired);
    const report = diffReport(config.mode.name, comparison, await leftoversOfOtherModes(config));
    await printOutput(report, output, terminal, () => diffText(report, terminal.hasColours));
    return report.isEqual ? 0 : 1;
  },
};
