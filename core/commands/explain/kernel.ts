import { BackendError, type Comparison } from "../../backend/contract.ts";
import type { ConfiguredMode } from "../../backend/mode.ts";
import type { ProxyConfig } from "../../config/config.ts";
import type { Finding } from "../../explain/explanation.ts";
import type { DesiredState } from "../../plan/plan.ts";
import { listed } from "../../explain/listed.ts";
import { leftoversOf } from "../cleanup/other_modes.ts";
import { asInForce } from "./in_force.ts";
import type { Ask, RunningProxy } from "./running.ts";

/** Differences that a message lists. */
const MAX_LISTED = 3;

/**
 * Findings about the rules in the kernel: whether they are those that should be in force, and whether other modes have
 * some, too.
 * @param invalid names of objects that are invalid now. A version before them may be in force.
 */
export async function ruleFindings(
  { mode, modes }: Pick<ProxyConfig, "mode" | "modes">,
  desired: DesiredState,
  invalid: readonly string[],
  running: Pick<RunningProxy, "isDifferent" | "ask">,
): Promise<readonly Finding[]> {
  // Its rules follow other settings, which a finding names.
  if (running.isDifferent) return [];
  const findings = await readable(mode, async () => {
    const comparison = await compare(mode, desired);
    if (isEqual(comparison)) return [];
    const inForce = running.ask && await knownInForce(running.ask, desired);
    if (inForce !== undefined) return comparisonFindings(mode.name, await compare(mode, inForce), "");
    return comparisonFindings(mode.name, comparison, doubt(invalid, running.ask !== undefined));
  });
  const others: Finding[] = [];
  for (const other of modes) {
    if (other !== mode) others.push(...await readable(other, () => leftoverFindings(other), "silent"));
  }
  return [...findings, ...others];
}

async function compare(mode: ConfiguredMode, desired: DesiredState): Promise<Comparison> {
  using backend = mode.create();
  return await backend.compare(desired);
}

function isEqual({ added, changed, removed }: Comparison): boolean {
  return [added, changed, removed].every(({ length }) => length === 0);
}

/** Undefined if the proxy does not tell, or if too much differs from the plan. */
async function knownInForce(ask: Ask, desired: DesiredState): Promise<DesiredState | undefined> {
  try {
    return await asInForce(ask, desired);
  } catch {
    return undefined;
  }
}

/** Why a difference may be intended, as a sentence; "" if it cannot be. */
function doubt(invalid: readonly string[], isRunning: boolean): string {
  if (isRunning) {
    return "What the proxy has in force differs from the plan, too: it may just read the objects.";
  }
  if (invalid.length === 0) return "";
  return `These may be rules of objects that are invalid now, whose version before stays in force: ${
    listed(invalid)
  }.`;
}

/**
 * Findings in the difference between the plan and the kernel.
 * @param doubt why the difference may be intended, as a sentence; "" if it cannot be.
 */
export function comparisonFindings(mode: string, comparison: Comparison, doubt: string): readonly Finding[] {
  const { found, added, changed, removed } = comparison;
  const about = "the rules in the kernel";
  if (found === "nothing" && added.length > 0) {
    return [{
      cause: "nothing-programmed",
      severity: "problem",
      about,
      text: `The kernel has no rules of mode ${mode}.`,
      advice: "Look for the reason in the log of the proxy; if it does not run, start it",
    }];
  }
  const differences = [
    ...added.map((text) => `missing ${text}`),
    ...changed.map((text) => `different ${text}`),
    ...removed.map((text) => `too much: ${text}`),
  ];
  if (differences.length === 0) return [];
  const more = differences.length - MAX_LISTED;
  return [{
    cause: "kernel-differs",
    severity: doubt === "" ? "problem" : "notice",
    about,
    text: `They differ from the plan: ${differences.slice(0, MAX_LISTED).join("; ")}` +
      `${more > 0 ? `; and ${more} more` : ""}.${doubt === "" ? "" : ` ${doubt}`}`,
    advice:
      "Give the flags or the configuration file that the proxy was started with, if they are others. If it runs, " +
      "ask again: it repairs its rules within a second, unless its log says why not. proxy diff lists all differences",
  }];
}

async function leftoverFindings(mode: ConfiguredMode): Promise<readonly Finding[]> {
  const { removed: [first, ...rest] } = await leftoversOf(mode);
  if (first === undefined) return [];
  return [{
    cause: "rules-of-another-mode",
    severity: "problem",
    about: "the rules in the kernel",
    text: `Mode ${mode.name}, or kube-proxy in this mode, has left ${first}${
      rest.length > 0 ? `, and ${rest.length} more` : ""
    }. They decide about packets, too.`,
    advice:
      "A start of the proxy removes them once its own rules are in force; proxy diff lists them. If they come " +
      "back, another proxy runs on the node, perhaps in a container that is not visible here",
  }];
}

/** Runs a look at the kernel. What cannot be read is a notice; for modes that are not in use, it is left out. */
async function readable(
  mode: ConfiguredMode,
  look: () => Promise<readonly Finding[]>,
  when: "reported" | "silent" = "reported",
): Promise<readonly Finding[]> {
  try {
    return await look();
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    if (when === "silent") return [];
    return [{
      cause: "kernel-unreadable",
      severity: "notice",
      about: "the rules in the kernel",
      text: `Mode ${mode.name} cannot read them: ${error.message}.`,
      advice: "Run it with the privileges of the proxy",
    }];
  }
}
