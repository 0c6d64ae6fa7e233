import { BackendError } from "../backend/contract.ts";
import { parseCommandLine } from "../config/flags/command_line.ts";
import { documentToYaml } from "../config/document/from_file.ts";
import { listed } from "../config/flags/mode_names.ts";
import { type Host, loadConfig } from "../config/load.ts";
import { nearest } from "../config/flags/suggest.ts";
import { forgetRecords, recordFolder } from "../manifests/record.ts";
import type { LogOutput } from "../observe/log/output.ts";
import { createLog, type Log } from "../observe/log.ts";
import { UserError } from "../user_error.ts";
import { VERSION } from "../version.ts";
import { check } from "./check.ts";
import { cleanUp, cleanUpOthers } from "./cleanup.ts";
import { completionScript } from "./completion/completion.ts";
import { commands, shells } from "./completion/words.ts";
import { helpText } from "./help.ts";
import { takeLock } from "./ownership.ts";
import type { Platform } from "./platform.ts";
import { run } from "./run.ts";
import { terminationSignal } from "./signals.ts";

/** The parts of the process that commands need. */
export interface Terminal extends Host {
  print(text: string): void | Promise<void>;
  printError(text: string): void;
  readonly logOutput: LogOutput;
  writeTextFile(path: string, text: string): Promise<void>;
}

/**
 * Runs the command line and returns the exit code: 0, or 1 for every failure, as kube-proxy does
 * (docs/behaviour.md §10.5). An error that the operator can correct is one message. A defect is printed with its stack.
 */
export async function dispatch(
  args: readonly string[],
  platform: Platform,
  terminal: Terminal,
): Promise<number> {
  try {
    return await perform(args, platform, terminal);
  } catch (error) {
    terminal.printError(lastMessage(error));
    return 1;
  }
}

/** The message of the error that ends the process. */
export function lastMessage(error: unknown): string {
  const expected = error instanceof UserError || error instanceof BackendError;
  return `proxy: ${expected ? error.message : stackOf(error)}\n`;
}

async function perform(args: readonly string[], platform: Platform, terminal: Terminal): Promise<number> {
  const { modes } = platform;
  const commandLine = parseCommandLine(args, modes);
  const { words: [command, ...rest], values } = commandLine;
  if (command !== undefined && !Object.hasOwn(commands, command)) {
    const meant = nearest(command, Object.keys(commands));
    const hint = meant === undefined ? "" : `did you mean ${meant}? `;
    throw new UserError(`unknown command ${command}: ${hint}(proxy --help lists all)`);
  }
  if (command === "completion" && !values.help) {
    await terminal.print(completionOf(rest, modes));
    return 0;
  }
  if (rest.length > 0) {
    throw new UserError(`${command} takes no arguments, got ${rest.join(" ")}`);
  }
  if (values.help || command === "help") {
    await terminal.print(helpText(modes));
    return 0;
  }
  if (["true", "raw"].includes(values.version) || command === "version") {
    await terminal.print(`proxy ${VERSION}\n`);
    return 0;
  }

  const { config, warnings } = await loadConfig(commandLine, modes, terminal);
  if (command === "check") {
    const report = await check(config.mode);
    await terminal.print(report.text);
    return report.ok ? 0 : 1;
  }
  const path = values["write-config-to"];
  if (path !== "") {
    await writeConfig(path, await documentToYaml(config.document), terminal);
    return 0;
  }
  const { logOutput } = terminal;
  const log = createLog({ ...config.logging, write: (line, severity) => logOutput.write(line, severity) });
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
  await run({ config, platform, whenInForce, log, droppedLines: () => logOutput.dropped });
  return 0;
}

function stay(log: Log): Promise<void> {
  const ended = new Promise<void>((resolve) =>
    terminationSignal().addEventListener("abort", () => resolve())
  );
  log.info("Staying until SIGTERM");
  return ended;
}

function completionOf(words: readonly string[], modes: Platform["modes"]): string {
  const [shell = ""] = words;
  const script = words.length === 1 ? completionScript(shell, modes) : undefined;
  if (script !== undefined) return script;
  const got = words.length === 0 ? "nothing" : words.join(" ");
  throw new UserError(`completion takes the name of a shell, ${listed(shells, "or")}; got ${got}`);
}

async function writeConfig(path: string, text: string, terminal: Terminal): Promise<void> {
  try {
    await terminal.writeTextFile(path, text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new UserError(`--write-config-to ${path}: cannot be written: ${reason}`, { cause });
  }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? error.stack ?? error.message : String(error);
}
