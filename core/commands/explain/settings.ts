import type { ProxyConfig } from "../../config/config.ts";
import type { ConfigDocument } from "../../config/document/document.ts";
import { isMapping } from "../../objects/parse/fields.ts";

/** Fields that do not decide which rules are in the kernel. The modes and the node names are compared by themselves. */
const WITHOUT_RULES: readonly string[] = [
  "bindAddressHardFail",
  "clientConnection",
  "configSyncPeriod",
  "conntrack.maxPerCore",
  "conntrack.min",
  "conntrack.tcpBeLiberal",
  "enableProfiling",
  "healthzBindAddress",
  "hostnameOverride",
  "logging",
  "metricsBindAddress",
  "mode",
  "oomScoreAdj",
  "portRange",
  "showHiddenMetricsForVersion",
  "statusPage",
  "trafficMetricsMaxServices",
  "windowsRunAsService",
  "winkernel",
] satisfies readonly (keyof ConfigDocument | `conntrack.${keyof ConfigDocument["conntrack"]}`)[];

/** Fields of the sections of modes that do not decide which rules are in the kernel. */
const PERIODS: readonly string[] = ["syncPeriod", "minSyncPeriod"];

/**
 * Compares the settings that decide which rules are in the kernel.
 * @param theirs the document of the running proxy, as /configz has it.
 * @returns a text per field that differs: `clusterCIDR is "10.244.0.0/16" there and "" here`.
 */
export function differingSettings(
  { document, mode, modes }: Pick<ProxyConfig, "document" | "mode" | "modes">,
  theirs: unknown,
): readonly string[] {
  if (!isMapping(theirs)) return ["the configuration is unknown there"];
  const sectionsOf = (
    { name, sections: { masquerade, periods } }: typeof mode,
  ) => [name, masquerade, periods];
  const [own, all] = [sectionsOf(mode), modes.flatMap(sectionsOf)];
  const isRelevant = (path: string) =>
    !WITHOUT_RULES.includes(path) && (own.includes(path) || !all.includes(path)) &&
    !PERIODS.includes(path.slice(path.indexOf(".") + 1));
  return [...differences(document, theirs, "", isRelevant)];
}

function* differences(
  own: unknown,
  theirs: unknown,
  path: string,
  isRelevant: (path: string) => boolean,
): Generator<string> {
  if (path !== "" && !isRelevant(path)) return;
  if (!isMapping(own) || !isMapping(theirs)) {
    const [here, there] = [JSON.stringify(own) ?? "missing", JSON.stringify(theirs) ?? "missing"];
    if (here !== there) yield `${path} is ${there} there and ${here} here`;
    return;
  }
  for (const field of new Set([...Object.keys(own), ...Object.keys(theirs)])) {
    yield* differences(own[field], theirs[field], path === "" ? field : `${path}.${field}`, isRelevant);
  }
}
