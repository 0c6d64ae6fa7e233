import { parseScenario, type Scenario } from "./scenario.ts";

export interface ScenarioFile extends Scenario {
  /** File name without `.yaml`. */
  readonly file: string;
}

const directory = new URL("../scenarios/", import.meta.url);

/** Reads all scenarios, sorted by file name. */
export function readScenarios(): readonly ScenarioFile[] {
  return [...Deno.readDirSync(directory)]
    .filter(({ name }) => name.endsWith(".yaml"))
    .map(({ name }) => ({
      file: name.replace(/\.yaml$/, ""),
      ...parseScenario(name, Deno.readTextFileSync(new URL(name, directory))),
    }))
    .toSorted((a, b) => a.file.localeCompare(b.file));
}
