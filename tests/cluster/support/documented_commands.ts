const operations = new URL("../../../docs/operations.md", import.meta.url);

export type Tool = "helm" | "kubectl";

/** The command lines of docs/operations.md for one tool. */
export interface DocumentedCommands {
  readonly install: string;
  readonly takeOver: string;
  readonly goBack: string;
  readonly upgrade: string;
  readonly rollBack: string;
  readonly uninstall: string;
}

/** Reads the command lines that begin with this tool from the sections of docs/operations.md. */
export function documentedCommands(tool: Tool): DocumentedCommands {
  const text = Deno.readTextFileSync(operations);
  const [takeOver, goBack] = commandsOf(text, "Take over from kube-proxy", tool, 2);
  const [install] = commandsOf(text, "Install", tool, 1);
  const [upgrade] = commandsOf(text, "Upgrade", tool, 1);
  const [rollBack] = commandsOf(text, "Roll back", tool, 1);
  const [uninstall] = commandsOf(text, "Uninstall", tool, 1);
  return { install, takeOver, goBack, upgrade, rollBack, uninstall } as DocumentedCommands;
}

/** A command is a paragraph of indented lines. */
function commandsOf(text: string, section: string, tool: Tool, count: number): readonly string[] {
  const [, content = ""] = text.split(`\n### ${section}\n\n`);
  const [body = ""] = content.split(/\n##+ /);
  const commands = body.split(/\n\n+/).filter((paragraph) => paragraph.startsWith(`    ${tool} `));
  if (commands.length !== count) {
    throw new Error(
      `docs/operations.md, ${section}: ${commands.length} commands begin with ${tool}, not ${count}`,
    );
  }
  return commands;
}
