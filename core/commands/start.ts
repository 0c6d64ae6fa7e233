import { documentToYaml } from "../config/document/from_file.ts";
import { loadConfig } from "../config/load.ts";
import { forgetRecords, recordFolder } from "../manifests/record.ts";
import { createLog, type Log, type LogOptions } from "../observe/log.ts";
import { UserError } from "../user_error.ts";
import { cleanUp, cleanUpOthers } from "./cleanup/cleanup.ts";
import type { Invocation, Terminal } from "./command.ts";
import { takeLock } from "./run/ownership.ts";
import { run } from "./run/run.ts";
import { terminationSignal } from "./process/signals.ts";

/** The command line without a command: keeps the rules equal to the cluster, or does what a flag asks for instead. */
export async function start({ commandLine, platform, terminal }: Invocation): Promise<number> {
  const { values } = commandLine;
  const { config, warnings } = await loadConfig(commandLine, platform.modes, terminal);
  const path = values["write-config-to"];
  if (path !== "") {
    await writeConfig(path, await documentToYaml(config.document), terminal);
    return 0;
  }
  const { logOutput } = terminal;
  const logging: LogOptions = {
    ...config.logging,
    write: (line, severity) => logOutput.write(line, severity),
  };
  const log = createLog(logging);
  logOutput.reportTo(log);
  if (values.stay && !values.cleanup) throw new UserError("--stay: must be used with --cleanup");
  if (values.cleanup) {
    const advice =
      "It would restore everything: stop it first, or add --wait-for-lock to clean up when it ends";
    const request = { name: platform.lockName, mode: "", waitMs: config.waitForLockMs, advice };
    using _lock = await takeLock(request, log, new AbortController().signal);
    const isClean = await cleanUp(config.modes, log);
    forgetRecords(recordFolder());
    if (isClean && values.stay) await stay(log);
    return isClean ? 0 : 1;
  }
  for (const warning of warnings) log.warn(warning);
  const whenInForce = () => cleanUpOthers(config, log);
  const setVerbosity = (verbosity: number) => logging.verbosity = verbosity;
  await run({ config, platform, whenInForce, log, setVerbosity, droppedLines: () => logOutput.dropped });
  return 0;
}

function stay(log: Log): Promise<void> {
  const ended = new Promise<void>((resolve) =>
    terminationSignal().addEventListener("abort", () => resolve())
  );
  log.info("Staying until SIGTERM");
  return ended;
}

async function writeConfig(path: string, text: string, terminal: Terminal): Promise<void> {
  try {
    await terminal.writeTextFile(path, text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new UserError(`--write-config-to ${path}: cannot be written: ${reason}`, { cause });
  }
}
