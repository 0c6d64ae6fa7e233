import type { Family } from "../../core/model/objects.ts";
import { Lab } from "../lab/lab.ts";
import { differences } from "./differences.ts";
import { KubeProxySubject } from "./kube_proxy_subject.ts";
import { runScenario } from "./runner.ts";
import { parseScenario, type Scenario } from "./scenario.ts";
import { ManifestSubject, type Subject } from "./subject.ts";

/**
 * Every scenario file, once per family, against the built proxy in one lab. PROXY_MODE chooses the backend, and
 * SUBJECT=kube-proxy runs upstream's proxy instead of ours.
 */
const directory = new URL("scenarios/", import.meta.url);
const mode = Deno.env.get("PROXY_MODE") ?? "nftables";
const isUpstream = Deno.env.get("SUBJECT") === "kube-proxy";
const subjectName = isUpstream ? `kube-proxy ${mode}` : mode;

let lab: Lab;
let subject: Subject;

Deno.test.beforeAll(async () => {
  lab = await Lab.create();
  subject = isUpstream ? await KubeProxySubject.create(lab, mode) : new ManifestSubject(lab, mode);
});

Deno.test.afterAll(async () => {
  await subject?.[Symbol.asyncDispose]();
  await lab?.[Symbol.asyncDispose]();
});

const scenarios = [...Deno.readDirSync(directory)]
  .filter(({ name }) => name.endsWith(".yaml"))
  .map(({ name: file }) => ({
    file,
    ...parseScenario(file, Deno.readTextFileSync(new URL(file, directory))),
  }))
  // Those with the same flags share one run of the proxy.
  .toSorted((a, b) => a.flags.join().localeCompare(b.flags.join()) || a.file.localeCompare(b.file));

for (const { file, ...scenario } of scenarios) {
  for (const [label, families] of runsOf(scenario)) {
    Deno.test({
      name: `${subjectName}: ${scenario.name} (${label})`,
      ignore: differences[subjectName]?.[file] !== undefined,
      // The proxy and the agents live on from one scenario to the next.
      sanitizeOps: false,
      sanitizeResources: false,
      fn: () => withinMinute(runScenario(lab, subject, scenario, families)),
    });
  }
}

function runsOf({ families }: Scenario): readonly (readonly [string, readonly Family[]])[] {
  const v4 = ["IPv4", ["IPv4"]] as const;
  const v6 = ["IPv6", ["IPv6"]] as const;
  return { v4: [v4], v6: [v6], both: [v4, v6], dual: [["dual stack", ["IPv4", "IPv6"]] as const] }[families];
}

/** A scenario that hangs must not take the whole run with it. */
async function withinMinute(work: Promise<void>): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error("the scenario takes longer than a minute")), 60_000);
  await Promise.race([work, promise]).finally(() => clearTimeout(timer));
}
