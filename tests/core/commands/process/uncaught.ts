/** A program that ends by an error that nothing handles: `error` in a timer, or `rejection` of a promise. */
import { endAtUncaughtError } from "../../../../core/commands/process/process_end.ts";
import { standardError } from "../../../../core/commands/process/terminal.ts";

const [kind, bytesBefore] = Deno.args;
endAtUncaughtError();
standardError.print("x".repeat(Number(bytesBefore)) + "\n");
const error = new Error(`uncaught ${kind}`);
if (kind === "rejection") Promise.reject(error);
else {
  setTimeout(() => {
    throw error;
  }, 0);
}
setInterval(() => {}, 1000);
