import type { NativeText } from "../../backend/contract.ts";
import { flag } from "../../config/flags/flag.ts";
import { loadConfig } from "../../config/load.ts";
import { listed } from "../../config/flags/mode_names.ts";
import { UserError } from "../../user_error.ts";
import type { Command } from "../command.ts";
import { commandLog } from "../output/command_log.ts";
import { choiceOf, serialised } from "../output/output.ts";
import { readCluster } from "../cluster/read_cluster.ts";
import { planData } from "./plan_data.ts";

const outputs = ["yaml", "json", "native"] as const;

const renderFlags = {
  output: flag(
    "string",
    "yaml",
    "Form of the output: the plan as yaml or json, or native, the input of the stock tools of the mode.",
    { shorthand: "o", offers: outputs },
  ),
  for: flag(
    "string",
    "",
    "With --output=native, print only the input of this tool, such as ip6tables-restore. Without it, a comment with the " +
      "command precedes each input.",
  ),
};

export const renderCommand: Command = {
  name: "render",
  summary: "print what this node would do with the services",
  description: [
    "Reads the objects from the source of the proxy (the API server or --manifests), and prints the plan of this node: " +
    "its service ports with their frontends, endpoints and verdicts. Or, with --output=native, the same as input of the " +
    "stock tools. Needs no privileges, and reads nothing of the kernel but the addresses of interfaces.",
  ],
  arguments: [],
  flags: renderFlags,
  readsConfig: true,
  exitCodes: { 0: "the plan was printed", 1: "an error" },
  errorCode: 1,
  async perform({ commandLine, platform, terminal }) {
    const values = commandLine.valuesOf(renderFlags);
    const output = choiceOf("--output", values.output, outputs);
    if (values.for !== "" && output !== "native") {
      throw new UserError(`--for ${values.for}: must be used with --output=native`);
    }
    const { config } = await loadConfig(commandLine, platform.modes, terminal);
    const { desired } = await readCluster(config, commandLog(config, terminal));
    if (output !== "native") {
      await terminal.print(await serialised(planData(config.nodeName, config.mode.name, desired), output));
      return 0;
    }
    using backend = config.mode.create();
    if (backend.nativeText === undefined) {
      throw new UserError(
        `--output native: mode ${backend.mode} has no text form; use --output=yaml for the plan`,
      );
    }
    await terminal.print(nativeOutput(backend.nativeText(desired), values.for));
    return 0;
  },
};

/** @throws UserError when the mode does not use the tool. */
function nativeOutput(texts: readonly NativeText[], tool: string): string {
  if (tool === "") return texts.map(({ command, text }) => `# ${command}\n${text}`).join("\n");
  const wanted = texts.find(({ command }) => toolOf(command) === tool);
  if (wanted !== undefined) return wanted.text;
  const tools = texts.map(({ command }) => toolOf(command));
  throw new UserError(`--for ${JSON.stringify(tool)}: must be ${listed(tools, "or")}`);
}

function toolOf(command: string): string {
  return command.split(" ", 1)[0] ?? "";
}
