import { NotPermitted, StillInUse } from "../../backend/contract.ts";
import type { ConfiguredMode } from "../../backend/mode.ts";
import type { ProxyConfig } from "../../config/config.ts";
import type { Log } from "../../observe/log.ts";
import { UserError } from "../../user_error.ts";

/**
 * Removes the kernel objects of all modes, ours and kube-proxy's. A mode that fails does not keep the others.
 * @returns true when nothing remains, false when only objects remain that other programs use.
 * @throws UserError when a mode failed, with kube-proxy's text.
 */
export async function cleanUp(modes: readonly ConfiguredMode[], log: Log): Promise<boolean> {
  let failed = false;
  let isClean = true;
  for (const mode of modes) {
    using backend = mode.create();
    try {
      warn(await backend.cleanup(), mode, log);
      log.info("Removed all rules", { mode: mode.name });
    } catch (error) {
      if (error instanceof StillInUse) {
        isClean = false;
        log.error("Removed all rules, except what other programs use", { mode: mode.name, err: error });
        continue;
      }
      failed = true;
      log.error("Removing the rules failed", { mode: mode.name, err: error });
    }
  }
  if (failed) throw new UserError("encountered an error while tearing down rules");
  return isClean;
}

/**
 * Removes the kernel objects of the modes that are not in use. Called when the mode in use is in force: until then the
 * old rules serve. Leftovers of kube-proxy in the mode in use come last, because rules of other modes may need them.
 * A failure is logged, and cleanup is tried again at the next start. A process without privileges logs one warning.
 */
export async function cleanUpOthers(
  { mode: inUse, modes }: Pick<ProxyConfig, "mode" | "modes">,
  log: Log,
): Promise<void> {
  const others = modes.filter((mode) => mode !== inUse);
  const denied: { readonly mode: string; readonly err: unknown }[] = [];
  for (const mode of others) {
    using backend = mode.create();
    try {
      warn(await backend.cleanup(), mode, log);
      log.info("No rules of another mode remain", { mode: mode.name });
    } catch (error) {
      if (error instanceof StillInUse) {
        log.warn("No rules of another mode remain, except what other programs use", {
          mode: mode.name,
          err: error,
        });
        continue;
      }
      if (error instanceof NotPermitted) denied.push({ mode: mode.name, err: error });
      else log.error(MAY_REMAIN, { mode: mode.name, err: error });
    }
  }
  if (denied.length > 1 && denied.length === others.length) {
    log.warn(WITHOUT_PRIVILEGES, { modes: denied.map(({ mode }) => mode) });
  } else {
    for (const fields of denied) log.error(MAY_REMAIN, fields);
  }
  await cleanUpLeftovers(inUse, log);
}

const MAY_REMAIN = "Rules of another mode may remain and still match traffic";
const WITHOUT_PRIVILEGES =
  "This process may not read the rules of other modes, and so removes none. If kube-proxy or a proxy with privileges has " +
  "run on this node, its rules may still match traffic: run `proxy --cleanup` once as root";

function warn(warnings: readonly string[] | void, mode: ConfiguredMode, log: Log): void {
  for (const warning of warnings ?? []) log.warn(warning, { mode: mode.name });
}

async function cleanUpLeftovers(mode: ConfiguredMode, log: Log): Promise<void> {
  // A backend of its own, because the one at work takes one call at a time.
  using backend = mode.create();
  if (backend.cleanUpLeftovers === undefined) return;
  try {
    await backend.cleanUpLeftovers();
    log.info("No leftovers of kube-proxy remain", { mode: mode.name });
  } catch (error) {
    log.error("Leftovers of kube-proxy may remain", { mode: mode.name, err: error });
  }
}
