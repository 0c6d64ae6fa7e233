import type { Modes } from "../backend/mode.ts";
import { UserError } from "../user_error.ts";
import type { ProxyConfig } from "./config.ts";
import type { ConfigDocument } from "./document/document.ts";
import { documentFromFile } from "./document/from_file.ts";
import { documentFromFlags, withOverridingFlags } from "./document/from_flags.ts";
import type { CommandLine } from "./flags/command_line.ts";
import type { FlagTable } from "./flags/flag.ts";
import { flagTexts } from "./flags/flag_text.ts";
import { allFlags } from "./flags/table.ts";
import { AUTO } from "./flags/mode_names.ts";
import { chooseMode } from "./mode_choice.ts";
import { configureUnchecked, effectiveConfig } from "./validate.ts";
import { warningsOf } from "./warnings.ts";

export interface LoadedConfig {
  readonly config: ProxyConfig;
  /** For the log, which the configuration has to set up first. */
  readonly warnings: readonly string[];
}

/** The parts of the operating system that configuration needs. */
export interface Host {
  readonly hostname: string;
  /** @throws Deno.errors.NotFound and similar errors. */
  readTextFile(path: string): Promise<string>;
}

/**
 * Makes the effective configuration of the command line and the file that it names. In mode `auto`, tries what the
 * kernel can do.
 * @throws UserError that says what to correct.
 */
export async function loadConfig(commandLine: CommandLine, modes: Modes, host: Host): Promise<LoadedConfig> {
  const { values, given, valuesOf } = commandLine;
  const table = allFlags(modes);
  const path = values.config;
  const file = path === "" ? undefined : { path, text: await readFile(path, host) };
  const read = file === undefined
    ? { document: documentFromFlags(commandLine, modes), warnings: [] }
    : await documentFromFile(file.path, file.text);
  const nameOf = (field: string) =>
    flagOf(field, table, given, file === undefined) ?? (file === undefined ? field : `${path}: ${field}`);
  const document = withOverridingFlags(read.document, commandLine);
  const wantsChoice = (document.mode || values["proxy-mode"]) === AUTO;
  const config = effectiveConfig(document, {
    modes,
    modeChoice: wantsChoice
      ? await chooseMode(modes, (mode) => configureUnchecked(mode, document, valuesOf))
      : undefined,
    hostname: host.hostname,
    master: values.master,
    manifests: values.manifests,
    initOnly: values["init-only"],
    waitForLock: values["wait-for-lock"],
    proxyMode: values["proxy-mode"],
    valuesOf,
    file,
    flags: flagTexts(table, valuesOf),
    nameOf,
  });
  return {
    config,
    warnings: [
      ...deprecations(table, given),
      ...(values.version === "false" ? [] : [`--version=${values.version} has no effect`]),
      ...read.warnings.map((warning) => `${path}: ${warning}`),
      ...(file === undefined ? [] : ignoredFlags(table, given, path, read.document)),
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

/** Flags that override a field of the document even when there is a file. */
const overridingFlags: Readonly<Record<string, string>> = {
  hostnameOverride: "hostname-override",
  "logging.format": "logging-format",
  "logging.verbosity": "v",
  "logging.vmodule": "vmodule",
  "logging.flushFrequency": "log-flush-frequency",
};

/**
 * Returns the flag that sets a field, as the operator wrote it; undefined when the field comes from a file.
 * @param field a path in the document, or the name of a flag with its dashes.
 * @param flagsCount true when flags set the fields of the document.
 */
function flagOf(
  field: string,
  table: FlagTable,
  given: ReadonlySet<string>,
  flagsCount: boolean,
): string | undefined {
  if (field.startsWith("--")) return `--${writtenName(field.slice(2), table, given)}`;
  const overriding = overridingFlags[field];
  if (overriding !== undefined && (flagsCount || given.has(overriding))) {
    return overriding === "v" ? "-v" : `--${overriding}`;
  }
  const flag = flagsCount
    ? Object.entries(table).find(([, { fields }]) => fields?.includes(field))
    : undefined;
  return flag && `--${flag[0]}`;
}

/** The alias of a flag, when only the alias was given. */
function writtenName(name: string, table: FlagTable, given: ReadonlySet<string>): string {
  if (given.has(name)) return name;
  return [...given].find((other) => table[other]?.aliasOf === name) ?? name;
}

function deprecations(table: FlagTable, given: ReadonlySet<string>): string[] {
  return Object.entries(table)
    .filter(([name, { deprecated }]) => deprecated !== undefined && given.has(name))
    .map(([name, { deprecated }]) => `--${name} is deprecated: ${deprecated}`);
}

/** kube-proxy ignores such flags silently; a flag without effect deserves a warning. */
function ignoredFlags(
  table: FlagTable,
  given: ReadonlySet<string>,
  path: string,
  { mode }: ConfigDocument,
): string[] {
  return [...given]
    .filter((name) => table[name]?.fields !== undefined && !(name === "proxy-mode" && mode === ""))
    .map((name) => `--${name} has no effect, because the file ${path} replaces it`);
}
