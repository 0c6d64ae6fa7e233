import { BackendError } from "../backend/contract.ts";
import { parseCommandLine } from "../config/flags/command_line.ts";
import { UserError } from "../user_error.ts";
import type { Command, Invocation, Terminal } from "./command.ts";
import { findCommand } from "./find_command.ts";
import { helpCommand } from "./help.ts";
import type { Platform } from "./platform.ts";
import { start } from "./start.ts";
import { commands } from "./table.ts";
import { versionCommand } from "./version.ts";

/**
 * Runs the command line and returns the exit code. Without a command it is 0, or 1 for every failure, as with
 * kube-proxy (docs/behaviour.md §10.5); each command documents its own. An error that the operator can correct is one
 * message. A defect is printed with its stack.
 */
export async function dispatch(
  args: readonly string[],
  platform: Platform,
  terminal: Terminal,
): Promise<number> {
  try {
    return await perform(args, platform, terminal);
  } catch (error) {
    terminal.printError(lastMessage(error));
    return errorCode(args);
  }
}

/** The message of the error that ends the process. */
export function lastMessage(error: unknown): string {
  const expected = error instanceof UserError || error instanceof BackendError;
  return `proxy: ${expected ? error.message : stackOf(error)}\n`;
}

/** Returns the exit code of an error, which may be one on the command line itself. */
export function errorCode(args: readonly string[]): number {
  const names = new Map(commands.map((command) => [command.name, command]));
  const word = args.find((arg) => names.has(arg));
  return names.get(word ?? "")?.errorCode ?? 1;
}

async function perform(args: readonly string[], platform: Platform, terminal: Terminal): Promise<number> {
  const commandLine = parseCommandLine(args, platform.modes, (word) => findCommand(commands, word).flags);
  const { words: [word, ...rest], values } = commandLine;
  const command = word === undefined ? undefined : findCommand(commands, word);
  const invocation: Invocation = { words: rest, commandLine, commands, platform, terminal };
  if (values.help) {
    const words = command === undefined || command === helpCommand ? [] : [command.name];
    return await helpCommand.perform({ ...invocation, words });
  }
  if (command !== undefined) checkArguments(command, rest);
  if (["true", "raw"].includes(values.version)) return await versionCommand.perform(invocation);
  return await (command === undefined ? start(invocation) : command.perform(invocation));
}

/** @throws UserError when there are more or fewer words than arguments, or when a word is none of the choices. */
function checkArguments({ name, arguments: expected }: Command, words: readonly string[]): void {
  const required = expected.filter(({ isOptional }) => !isOptional);
  const isRightNumber = words.length >= required.length && words.length <= expected.length;
  if (isRightNumber && words.every((word, index) => expected[index]?.choices?.includes(word) ?? true)) return;
  const takes = expected.length === 0
    ? "no arguments,"
    : `${expected.map(({ what }) => what).join(" and ")};`;
  throw new UserError(`${name} takes ${takes} got ${words.length === 0 ? "nothing" : words.join(" ")}`);
}

function stackOf(error: unknown): string {
  return error instanceof Error ? error.stack ?? error.message : String(error);
}
