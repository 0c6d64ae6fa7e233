import { Exposition, type MetricSource } from "../../../../core/observe/metrics/exposition/exposition.ts";
import type { Format } from "../../../../core/observe/metrics/exposition/format.ts";
import type { CollectedMetrics } from "../../../../core/observe/metrics/registry/registry.ts";
import { silentLog } from "../log/silent_log.ts";

/** Returns what a scraper gets. */
export async function textOf(
  registry: CollectedMetrics,
  { format = "text", sources = [] }: {
    readonly format?: Format;
    readonly sources?: readonly MetricSource[];
  } = {},
): Promise<string> {
  const body = await new Exposition({ registry, sources, log: silentLog }).body(format);
  return typeof body === "string" ? body : new TextDecoder().decode(body);
}

/** Lines of the text with a value. */
export function valuesIn(text: string): readonly string[] {
  return text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
}

/** Returns one value; its labels in any order. */
export async function valueOf(registry: CollectedMetrics, wanted: string): Promise<number | undefined> {
  for (const line of valuesIn(await textOf(registry))) {
    const end = line.lastIndexOf(" ");
    if (ordered(line.slice(0, end)) === ordered(wanted)) return Number(line.slice(end + 1));
  }
  return undefined;
}

function ordered(sample: string): string {
  return sample.replace(/\{(.*)\}/, (_, labels: string) => `{${labels.split(",").sort().join()}}`);
}
