import { nearest } from "../config/flags/suggest.ts";
import { UserError } from "../user_error.ts";
import type { Command } from "./command.ts";

/** @throws UserError with a suggestion when no command has the name. */
export function findCommand(commands: readonly Command[], name: string): Command {
  const command = commands.find((command) => command.name === name);
  if (command !== undefined) return command;
  const meant = nearest(name, commands.map(({ name }) => name));
  const hint = meant === undefined ? "" : `: did you mean ${meant}?`;
  throw new UserError(`unknown command ${name}${hint} (see proxy --help)`);
}

/** The command line of a command as the help and the manual page show it: `completion SHELL`. */
export function usage({ name, arguments: expected, flags, readsConfig }: Command): string {
  const words = expected.map(({ name, isOptional }) => isOptional ? `[${name}]` : name);
  return [name, ...words, ...(readsConfig || Object.keys(flags).length > 0 ? ["[flags]"] : [])].join(" ");
}
