import type { CommandLine } from "../../config/flags/command_line.ts";
import { flag } from "../../config/flags/flag.ts";
import { listed } from "../../config/flags/mode_names.ts";
import { UserError } from "../../user_error.ts";
import type { Terminal } from "../command.ts";
import { type Cell, renderTable } from "./table.ts";

/** Forms in which commands print data. */
const outputs = ["table", "json", "yaml"] as const;
export type Output = typeof outputs[number];

/** The flag of every command that prints data. */
export const outputFlags = {
  output: flag("string", "table", "Form of the output: table, json or yaml.", {
    shorthand: "o",
    offers: outputs,
  }),
};

/** @throws UserError when the form is unknown. */
export function outputOf({ valuesOf }: Pick<CommandLine, "valuesOf">): Output {
  return choiceOf("--output", valuesOf(outputFlags).output, outputs);
}

/** @throws UserError when the value of the flag is none of the choices. */
export function choiceOf<Choice extends string>(
  flag: string,
  value: string,
  choices: readonly Choice[],
): Choice {
  const choice = choices.find((one) => one === value);
  if (choice !== undefined) return choice;
  throw new UserError(`${flag} ${JSON.stringify(value)}: must be ${listed(choices, "or")}`);
}

/** Renders rows, with their header if there is one. */
export type Table = (rows: readonly (readonly Cell[])[], indent?: number) => string;

/**
 * Prints data in the form that was asked for.
 * @param data consists of what JSON has.
 * @param forPeople makes the text of the form "table".
 */
export async function printOutput(
  data: unknown,
  output: Output,
  { hasColours, print }: Pick<Terminal, "hasColours" | "print">,
  forPeople: (table: Table) => string,
): Promise<void> {
  const table: Table = (rows, indent = 0) => renderTable(rows, { hasColours, indent });
  await print(output === "table" ? forPeople(table) : await serialised(data, output));
}

/** Writes data as JSON or YAML. The YAML library is loaded only if it is needed. */
export async function serialised(data: unknown, output: "json" | "yaml"): Promise<string> {
  if (output === "json") return `${JSON.stringify(data, undefined, 2)}\n`;
  const { stringify } = await import("yaml");
  return stringify(data, { lineWidth: 0, aliasDuplicateObjects: false });
}
