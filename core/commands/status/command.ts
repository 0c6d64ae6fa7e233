import { delay } from "../../async/wakeup.ts";
import { flag } from "../../config/flags/flag.ts";
import { loadConfig } from "../../config/load.ts";
import { Rates } from "../../observe/status/rates.ts";
import type { ServicePage } from "../../observe/status/service_search.ts";
import type { ServiceRow } from "../../observe/status/services.ts";
import type { Status } from "../../observe/status/status.ts";
import { UserError } from "../../user_error.ts";
import type { Command, Terminal } from "../command.ts";
import { type Output, outputFlags, outputOf, printOutput } from "../output/output.ts";
import { terminationSignal } from "../process/signals.ts";
import { busiestRows, readConnections } from "./busiest.ts";
import { ProxyClient } from "./client.ts";
import { isWell, statusRows } from "./report.ts";

const statusFlags = {
  ...outputFlags,
  watch: flag("bool", false, "Show it again every two seconds until interrupted.", { shorthand: "w" }),
};

const WATCH_MS = 2000;
/** Services whose rates are compared: those with the most connections so far. */
const CANDIDATES = 100;

export const statusCommand: Command = {
  name: "status",
  summary: "show what the running proxy does",
  description: [
    "Asks the proxy that runs on this node, at its metrics address: source, objects, the last sync, latency, errors, " +
    "repairs and the busiest services. The address comes from the flags and the configuration file, so give the ones that the proxy was " +
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
    const answer = await read(client, output);
    await show(answer, new Rates(), output, terminal);
    return isWell(answer) ? 0 : 1;
  },
};

/** The output of the command as JSON or YAML. */
interface Answer extends Status {
  /** The services that got the most connections so far. */
  readonly busiestServices: readonly ServiceRow[];
}

async function read(client: ProxyClient, output: Output): Promise<Answer> {
  const [status, { services }] = await Promise.all([
    client.ask<Status>(output === "table" ? "status" : "status?loopback=all"),
    client.ask<ServicePage>(`services?sort=-connections&limit=${CANDIDATES}`),
  ]);
  return { ...status, busiestServices: services };
}

function show(answer: Answer, rates: Rates, output: Output, terminal: Terminal): Promise<void> {
  readConnections(answer.busiestServices, rates, performance.now());
  return printOutput(answer, output, terminal, (table) => {
    const busiest = busiestRows(answer.busiestServices, rates);
    return table(statusRows(answer), 0) + (busiest.length === 0 ? "" : `\n${table(busiest, 0)}`);
  });
}

/** Shows the status until a signal ends it. A proxy that restarts meanwhile is waited for. */
async function showAgain(client: ProxyClient, output: Output, terminal: Terminal): Promise<number> {
  const signal = terminationSignal();
  const rates = new Rates();
  let code = 2;
  while (!signal.aborted) {
    try {
      const answer = await read(client, output);
      await terminal.print(separator(output, terminal));
      await show(answer, rates, output, terminal);
      code = isWell(answer) ? 0 : 1;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      terminal.printError(`proxy: ${error.message}\n`);
      code = 2;
    }
    await delay(WATCH_MS, signal);
  }
  return code;
}

/** Text before each answer. JSON texts need none: programs such as jq read one after the other. */
function separator(output: Output, { isTerminal }: Terminal): string {
  if (output === "table") return isTerminal ? CLEAR : "\n";
  return output === "yaml" ? "---\n" : "";
}

/** Cursor to the first line, and the screen cleared (ECMA-48 §8.3.21, §8.3.39). */
const CLEAR = "\x1b[H\x1b[2J";
