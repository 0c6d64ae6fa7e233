import { BackendError, type Comparison } from "../../backend/contract.ts";
import type { ConfiguredMode } from "../../backend/mode.ts";
import type { ProxyConfig } from "../../config/config.ts";
import type { Finding } from "../../explain/explanation.ts";
import type { DesiredState } from "../../plan/plan.ts";
import { leftoversOf } from "../cleanup/other_modes.ts";

/** Differences that a message lists. */
const MAX_LISTED = 3;

/** Findings about the rules in the kernel: whether they equal the plan, and whether other modes have some, too. */
export async function ruleFindings(
  { mode, modes }: ProxyConfig,
  desired: DesiredState,
): Promise<readonly Finding[]> {
  const findings = await readable(mode, async () => {
    using backend = mode.create();
    return comparisonFindings(mode.name, await backend.compare(desired));
  });
  const others: Finding[] = [];
  for (const other of modes) {
    if (other !== mode) others.push(...await readable(other, () => leftoverFindings(other), "silent"));
  }
  return [...findings, ...others];
}

/** Findings in the difference between the plan and the kernel. */
export function comparisonFindings(mode: string, comparison: Comparison): readonly Finding[] {
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
    severity: "problem",
    about,
    text: `They differ from the plan: ${differences.slice(0, MAX_LISTED).join("; ")}` +
      `${more > 0 ? `; and ${more} more` : ""}.`,
    advice: "If the proxy runs, ask again: it repairs them within a second, unless its log says why not. " +
      "proxy diff lists all differences",
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
