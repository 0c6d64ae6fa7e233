import type { ProxyMode } from "../backend/contract.ts";
import type { Backends, ModeOptions } from "../../backends/registry.ts";
import type { Log } from "../observe/log.ts";
import { UserError } from "../user_error.ts";

/**
 * Removes what the modes left in the kernel, ours and upstream's. One that fails does not keep the others.
 * @throws UserError when any failed, with upstream's text.
 */
export async function cleanUp(backends: Backends, options: ModeOptions, log: Log): Promise<void> {
  let failed = false;
  for (const create of backends.values()) {
    using backend = create(options);
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

/**
 * Removes what the modes left that are not in use, once the one in use is in force: until then the old rules serve.
 * Last of all what upstream left of the mode in use, which rules of the others may need until then.
 * What fails is logged, and tried again at the next start.
 */
export async function cleanUpOthers(
  config: ModeOptions & { readonly mode: ProxyMode },
  backends: Backends,
  log: Log,
): Promise<void> {
  for (const [mode, create] of backends) {
    if (mode === config.mode) continue;
    using backend = create(config);
    try {
      await backend.cleanup();
      log.info("Nothing of another mode is left", { mode });
    } catch (error) {
      log.error("Rules of another mode may be left and still be followed", { mode, err: error });
    }
  }
  await cleanUpLeftovers(config, backends, log);
}

async function cleanUpLeftovers(
  config: ModeOptions & { readonly mode: ProxyMode },
  backends: Backends,
  log: Log,
): Promise<void> {
  const { mode } = config;
  // Not the one that is at work: it takes one call at a time.
  using backend = backends.get(mode)?.(config);
  if (backend?.cleanUpLeftovers === undefined) return;
  try {
    await backend.cleanUpLeftovers();
    log.info("Nothing that only kube-proxy uses is left", { mode });
  } catch (error) {
    log.error("Something that only kube-proxy uses may be left", { mode, err: error });
  }
}
