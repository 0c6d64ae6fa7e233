import { BackendError } from "../../backend/contract.ts";
import type { ProxyConfig } from "../../config/config.ts";
import { loadConfig } from "../../config/load.ts";
import { conntrackMax } from "../../node/host_settings.ts";
import { supportedFamilies } from "../../node/interfaces.ts";
import { readKernelFacts } from "../../node/kernel_facts.ts";
import { readListeners } from "../../node/listeners.ts";
import { findHolder, proxyPidOf } from "../../node/lock_holder.ts";
import { socketOwners } from "../../node/socket_owners.ts";
import type { Command } from "../command.ts";
import { type LeftoversOfMode, leftoversOfOtherModes } from "../cleanup/other_modes.ts";
import { outputFlags, outputOf, printOutput } from "../output/output.ts";
import { describeHolder } from "../run/ownership.ts";
import { checked, type CheckedRequirement, checkMode, type CheckReport, rowsOf, verdictOf } from "./check.ts";
import { nodeRequirements } from "./node_requirements.ts";

export const checkCommand: Command = {
  name: "check",
  summary: "report which modes work on this node, and what it lacks",
  description: [
    "Tries each requirement of every mode, or of the one that --proxy-mode names, and reads what else decides whether " +
    "services work: sysctls, the conntrack table, ports in use, other proxies. With --proxy-mode=auto, tries every " +
    "mode and says which one a start would select. Run it as the same user, with the same capabilities and in the same " +
    "namespaces as the proxy.",
    "Changes nothing that is in force. The kernel may load modules for features that are tried, and what a trial adds, " +
    "such as a device, exists for a moment.",
  ],
  arguments: [],
  flags: outputFlags,
  readsConfig: true,
  exitCodes: {
    0: "the mode that would start can work here",
    1: "it lacks something it requires, or an error",
  },
  errorCode: 1,
  async perform({ commandLine, platform, terminal }) {
    const output = outputOf(commandLine);
    const { config } = await loadConfig(commandLine, platform.modes, terminal);
    const { mode, modeChoice } = config;
    const selected = commandLine.given.has("proxy-mode") && modeChoice === undefined ? [mode] : config.modes;
    const modes = [];
    for (const mode of selected) modes.push(await checkMode(mode));
    const report: CheckReport = {
      mode: mode.name,
      ...(modeChoice === undefined ? {} : { modeReason: modeChoice.reason }),
      ok: modes.some(({ mode, ok }) => ok && mode === config.mode.name),
      modes,
      node: await checkNode(config, platform.lockName),
    };
    await printOutput(report, output, terminal, (table) => `${table(rowsOf(report))}\n${verdictOf(report)}`);
    return report.ok ? 0 : 1;
  },
};

async function checkNode(config: ProxyConfig, lockName: string): Promise<CheckedRequirement[]> {
  const families = await supportedFamilies();
  const listeners = families.flatMap((family) => readListeners(family));
  using holder = await findHolder(lockName);
  const requirements = nodeRequirements(await readKernelFacts({ proxyPid: proxyPidOf(holder) }), {
    families,
    healthz: config.healthz,
    metrics: config.metrics,
    conntrackMax: conntrackMax(config.conntrack),
    lockHolder: holder && `a proxy (${describeHolder(holder)})`,
    otherModes: await otherModes(config),
    listeners,
    owners: socketOwners(new Set(listeners.map(({ inode }) => inode))),
  });
  return requirements.map(checked);
}

/** Undefined without the privileges to read the kernel, which the requirements of the modes name. */
async function otherModes(config: ProxyConfig): Promise<readonly LeftoversOfMode[] | undefined> {
  try {
    return await leftoversOfOtherModes(config);
  } catch (error) {
    if (error instanceof BackendError) return undefined;
    throw error;
  }
}
