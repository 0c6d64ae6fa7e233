import { backends } from "./backends/registry.ts";
import { dispatch } from "./core/commands/dispatch.ts";
import { writeToStandardError, writeToStandardOutput } from "./core/commands/terminal.ts";

const exitCode = await dispatch(Deno.args, backends, {
  hostname: Deno.hostname(),
  readTextFile: (path) => Deno.readTextFile(path),
  writeTextFile: (path, text) => Deno.writeTextFile(path, text),
  print: writeToStandardOutput,
  printError: writeToStandardError,
});
Deno.exit(exitCode);
