import { errorCode, lastMessage } from "../dispatch.ts";
import { standardError } from "./terminal.ts";

/** Ends the process when its last messages are written, or when nobody reads them. */
export async function endProcess(code: number): Promise<never> {
  await standardError.flush();
  Deno.exit(code);
}

/**
 * Ends the process with the exit code of errors at an error that nothing handles. Without this, the runtime writes the error
 * from the main thread, and a process with a blocked standard error would never end.
 */
export function endAtUncaughtError(): void {
  const end = (event: Event, error: unknown) => {
    event.preventDefault();
    standardError.print(lastMessage(error));
    endProcess(errorCode(Deno.args));
  };
  addEventListener("error", (event) => end(event, event.error));
  addEventListener("unhandledrejection", (event) => end(event, event.reason));
}
