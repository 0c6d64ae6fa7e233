import { delay } from "../../async/wakeup.ts";
import { flag } from "../../config/flags/flag.ts";
import { loadConfig } from "../../config/load.ts";
import type { Status } from "../../observe/status/status.ts";
import { UserError } from "../../user_error.ts";
import type { Command, Terminal } from "../command.ts";
import { type Output, outputFlags, outputOf, printOutput } from "../output/output.ts";
import { terminationSignal } from "../signals.ts";
import { ProxyClient } from "./client.ts";
import { isWell, statusRows } from "./report.ts";

const statusFlags = {
  ...outputFlags,
  watch: flag("bool", false, "Show it again every two seconds until interrupted.", { shorthand: "w" }),
};

const WATCH_MS = 2000;

export const statusCommand: Command = {
  name: "status",
  summary: "show what the running proxy does",
  description: [
    "Asks the proxy that runs on this node, at its metrics address: source, objects, the last sync, latency, errors " +
    "and repairs. The address comes from the flags and the configuration file, so give the ones that the proxy was " +
    "started with. An address such as 0.0.0.0 is asked on the loopback address.",
  ],
  arguments: [],
  flags: statusFlags,
  readsConfig: true,
  exitCodes: {
    0: "the proxy is healthy, and everything is in force",
    1: "the proxy is unhealthy, its last sync failed, or the kernel rejects a service port",
    2: "no proxy answers, or another error",
  },
  errorCode: 2,
  async perform({ commandLine, platform, terminal }) {
    const output = outputOf(commandLine);
    const { watch } = commandLine.valuesOf(statusFlags);
    const { config } = await loadConfig(commandLine, platform.modes, terminal);
    const client = new ProxyClient(config.metrics);
    if (watch) return await showAgain(client, output, terminal);
    const status = await client.ask<Status>("status");
    await show(status, output, terminal);
    return isWell(status) ? 0 : 1;
  },
};

function show(status: Status, output: Output, terminal: Terminal): Promise<void> {
  return printOutput(status, output, terminal, (table) => table(statusRows(status), 0));
}

/** Shows the status until a signal ends it. A proxy that restarts meanwhile is waited for. */
async function showAgain(client: ProxyClient, output: Output, terminal: Terminal): Promise<number> {
  const signal = terminationSignal();
  let code = 2;
  while (!signal.aborted) {
    try {
      const status = await client.ask<Status>("status");
      if (output === "table") await terminal.print(terminal.isTerminal ? CLEAR : "\n");
      await show(status, output, terminal);
      code = isWell(status) ? 0 : 1;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      terminal.printError(`proxy: ${error.message}\n`);
      code = 2;
    }
    await delay(WATCH_MS, signal);
  }
  return code;
}

/** Cursor to the first line, and the screen cleared (ECMA-48 §8.3.21, §8.3.39). */
const CLEAR = "\x1b[H\x1b[2J";
