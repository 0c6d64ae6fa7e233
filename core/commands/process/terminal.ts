import { QueuedLogOutput } from "../../observe/log/output.ts";
import { UserError } from "../../user_error.ts";

const encoder = new TextEncoder();

/** Pause before writing to a full pipe again that another process made non-blocking. */
const WOULD_BLOCK_MS = 20;

/**
 * Writes the output of a command, and waits for the reader as long as it takes.
 * @throws UserError when it cannot be written.
 */
export async function writeToStandardOutput(text: string): Promise<void> {
  let rest = encoder.encode(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(await Deno.stdout.write(rest));
    } catch (cause) {
      // The reader has gone (`proxy --help | head`): it has what it needs.
      if (cause instanceof Deno.errors.BrokenPipe) return;
      if (cause instanceof Deno.errors.WouldBlock) {
        await new Promise((resolve) => setTimeout(resolve, WOULD_BLOCK_MS));
      } else if (!(cause instanceof Deno.errors.Interrupted)) {
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new UserError(`standard output cannot be written: ${reason}`, { cause });
      }
    }
  }
}

/** The log, and the last message of a command. Deno writes to it in another thread, which may block. */
export const standardError = new QueuedLogOutput({ write: (bytes) => Deno.stderr.write(bytes) });

/** True when standard output is a terminal and NO_COLOR (no-color.org) is not set. */
export function hasColours(env: Pick<typeof Deno.env, "get">): boolean {
  return isTerminal() && (env.get("NO_COLOR") ?? "") === "" && env.get("TERM") !== "dumb";
}

/** True when standard output is a terminal. */
export function isTerminal(): boolean {
  return Deno.stdout.isTerminal();
}
