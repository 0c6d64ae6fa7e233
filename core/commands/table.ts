import { checkCommand } from "./check/command.ts";
import type { Command } from "./command.ts";
import { completionCommand } from "./completion/command.ts";
import { diffCommand } from "./diff/command.ts";
import { explainCommand } from "./explain/command.ts";
import { helpCommand } from "./help.ts";
import { renderCommand } from "./render/command.ts";
import { statusCommand } from "./status/command.ts";
import { versionCommand } from "./version.ts";

/** The commands of the program, in the order of the help. */
export const commands: readonly Command[] = [
  diffCommand,
  renderCommand,
  checkCommand,
  explainCommand,
  statusCommand,
  completionCommand,
  versionCommand,
  helpCommand,
];
