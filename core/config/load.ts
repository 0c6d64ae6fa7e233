import type { ProxyMode } from "../backend/contract.ts";
import { UserError } from "../user_error.ts";
import type { CommandLine } from "./flags/command_line.ts";
import type { ProxyConfig } from "./config.ts";
import { effectiveConfig } from "./validate.ts";
import type { Flag } from "./flags/flag.ts";
import { type FlagName, flags } from "./flags/flags.ts";
import { documentFromFile } from "./document/from_file.ts";
import { documentFromFlags, withFlagsThatWin } from "./document/from_flags.ts";
import { warningsOf } from "./warnings.ts";

export interface LoadedConfig {
  readonly config: ProxyConfig;
  /** For the log, once there is one. */
  readonly warnings: readonly string[];
}

/** The operating system as far as configuration needs it. */
export interface Host {
  readonly hostname: string;
  /** @throws Deno.errors.NotFound and its like. */
  readTextFile(path: string): Promise<string>;
}

/**
 * Makes the configuration in effect of the command line and the file it names.
 * @throws UserError that says what to set right.
 */
export async function loadConfig(
  commandLine: CommandLine,
  modes: readonly ProxyMode[],
  host: Host,
): Promise<LoadedConfig> {
  const { values, given } = commandLine;
  const path = values.config;
  const file = path === "" ? undefined : { path, text: await readFile(path, host) };
  const read = file === undefined
    ? { document: documentFromFlags(commandLine), oddities: [] }
    : await documentFromFile(file.path, file.text);
  const config = effectiveConfig(withFlagsThatWin(read.document, commandLine), {
    modes,
    hostname: host.hostname,
    master: values.master,
    manifests: values.manifests,
    initOnly: values["init-only"],
    flags: values,
    file,
    nameOf: (field) =>
      flagOf(field, given, file === undefined) ?? (file === undefined ? field : `${path}: ${field}`),
  });
  return {
    config,
    warnings: [
      ...deprecations(given),
      ...read.oddities.map((oddity) => `${path}: ${oddity}`),
      ...(file === undefined ? [] : overruled(given, path)),
      ...warningsOf(config),
    ],
  };
}

async function readFile(path: string, host: Host): Promise<string> {
  try {
    return await host.readTextFile(path);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new UserError(`--config ${path}: cannot be read: ${reason}`, { cause });
  }
}

const table: readonly (readonly [string, Flag])[] = Object.entries(flags);

/** Flags that hold fields of the document even when there is a file, because they win over it. */
const winners: Readonly<Record<string, FlagName>> = {
  hostnameOverride: "hostname-override",
  "logging.format": "logging-format",
  "logging.verbosity": "v",
  "logging.vmodule": "vmodule",
  "logging.flushFrequency": "log-flush-frequency",
};

function flagOf(field: string, given: ReadonlySet<FlagName>, flagsCount: boolean): string | undefined {
  if (field.startsWith("--")) return field;
  const winner = winners[field];
  if (winner !== undefined && (flagsCount || given.has(winner))) return winner === "v" ? "-v" : `--${winner}`;
  const flag = flagsCount ? table.find(([, { fields }]) => fields?.includes(field)) : undefined;
  return flag && `--${flag[0]}`;
}

function deprecations(given: ReadonlySet<FlagName>): string[] {
  return table
    .filter(([name, { deprecated }]) => deprecated !== undefined && [...given].some((flag) => flag === name))
    .map(([name, { deprecated }]) => `--${name} is deprecated: ${deprecated}`);
}

/** Upstream drops these without a word; a flag that does nothing is worth one. */
function overruled(given: ReadonlySet<FlagName>, path: string): string[] {
  return [...given]
    .filter((name) => table.some(([other, { fields }]) => other === name && fields !== undefined))
    .map((name) => `--${name} has no effect: the file ${path} decides`);
}
