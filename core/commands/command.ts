import type { CommandLine } from "../config/flags/command_line.ts";
import type { FlagTable } from "../config/flags/flag.ts";
import type { Host } from "../config/load.ts";
import type { LogOutput } from "../observe/log/output.ts";
import type { Platform } from "./platform.ts";

/** The parts of the process that commands need. */
export interface Terminal extends Host {
  /** True when the reader of standard output shows colours. */
  readonly hasColours: boolean;
  /** True when standard output is a terminal. */
  readonly isTerminal: boolean;
  print(text: string): void | Promise<void>;
  printError(text: string): void;
  readonly logOutput: LogOutput;
  writeTextFile(path: string, text: string): Promise<void>;
}

/** An argument of a command that is no flag. */
export interface Argument {
  /** Name in the usage line: `SHELL`. */
  readonly name: string;
  /** Follows "takes" in a message: "the name of a shell, bash, zsh or fish". */
  readonly what: string;
  /** The values, if there are no others. */
  readonly choices?: readonly string[];
  readonly isOptional?: true;
}

/**
 * A command of the program. The help, the completions of shells, the manual page and the checks of `docs/commands.md`
 * are made from these descriptors.
 */
export interface Command {
  readonly name: string;
  /** One line without a period, for the list of commands. */
  readonly summary: string;
  /** Paragraphs for the help of the command. */
  readonly description: readonly string[];
  readonly arguments: readonly Argument[];
  /** Flags that only this command has. They follow its name on the command line. */
  readonly flags: FlagTable;
  /** True when the flags and the configuration file of the proxy have an effect. */
  readonly readsConfig: boolean;
  /** Meaning of each exit code. */
  readonly exitCodes: Readonly<Record<number, string>>;
  /** Exit code when the command fails with an error. */
  readonly errorCode: number;
  /**
   * @returns the exit code.
   * @throws UserError for what the operator can correct.
   */
  perform(invocation: Invocation): Promise<number>;
}

/** A command that was asked for, and what it works with. */
export interface Invocation {
  /** The arguments: as many as the command takes. */
  readonly words: readonly string[];
  readonly commandLine: CommandLine;
  /** All commands of the program. */
  readonly commands: readonly Command[];
  readonly platform: Platform;
  readonly terminal: Terminal;
}
