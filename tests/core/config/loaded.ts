import { modes as allModes } from "../../../backends/registry.ts";
import type { Modes } from "../../../core/backend/mode.ts";
import type { ProxyConfig } from "../../../core/config/config.ts";
import { parseCommandLine } from "../../../core/config/flags/command_line.ts";
import { loadConfig, type LoadedConfig } from "../../../core/config/load.ts";

/**
 * Loads the configuration of a command line on the host Node-A.
 * @param file text of every configuration file; "" when there is none.
 */
export function load(
  args: readonly string[],
  file = "",
  modes: Modes = allModes,
): Promise<LoadedConfig> {
  return loadConfig(parseCommandLine(args, modes), modes, {
    hostname: "Node-A",
    readTextFile: () =>
      file === "" ? Promise.reject(new Deno.errors.NotFound("no such file")) : Promise.resolve(file),
  });
}

export async function configOf(...args: readonly string[]): Promise<ProxyConfig> {
  return (await load(args)).config;
}
