import type { Backend } from "../../backends/backend.ts";
import type { Log } from "../observe/log.ts";
import { UserError } from "../user_error.ts";

/**
 * Removes what the modes left in the kernel, ours and upstream's. One that fails does not keep the others.
 * @throws UserError when any failed, with upstream's text.
 */
export async function cleanUp(backends: Iterable<() => Backend>, log: Log): Promise<void> {
  let failed = false;
  for (const create of backends) {
    using backend = create();
    try {
      await backend.cleanup();
      log.info("Removed all rules", { mode: backend.mode });
    } catch (error) {
      failed = true;
      log.error("Removing the rules failed", { mode: backend.mode, err: error });
    }
  }
  if (failed) throw new UserError("encountered an error while tearing down rules");
}
