// First, so that it is in force while the other modules start.
import "./core/commands/process/signals.ts";
import { ConntrackReconciler } from "./backends/conntrack/reconciler.ts";
import { modes } from "./backends/registry.ts";
import { dispatch } from "./core/commands/dispatch.ts";
import { LOCK_NAME } from "./core/commands/run/ownership.ts";
import type { Platform } from "./core/commands/platform.ts";
import { endAtUncaughtError, endProcess } from "./core/commands/process/process_end.ts";
import {
  hasColours,
  isTerminal,
  standardError,
  writeToStandardOutput,
} from "./core/commands/process/terminal.ts";
import { setConntrackSysctls, setOomScoreAdj } from "./core/node/host_settings.ts";

endAtUncaughtError();

const platform: Platform = {
  modes,
  lockName: LOCK_NAME,
  createConntrackReconciler: (options) => new ConntrackReconciler(options),
  setConntrackSysctls,
  setOomScoreAdj,
};

const exitCode = await dispatch(Deno.args, platform, {
  hostname: Deno.hostname(),
  hasColours: hasColours(Deno.env),
  isTerminal: isTerminal(),
  readTextFile: (path) => Deno.readTextFile(path),
  writeTextFile: (path, text) => Deno.writeTextFile(path, text),
  print: writeToStandardOutput,
  printError: (text) => standardError.print(text),
  logOutput: standardError,
});
await endProcess(exitCode);
