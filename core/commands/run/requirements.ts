import { type Backend, describeRequirement } from "../../backend/contract.ts";
import type { ProxyConfig } from "../../config/config.ts";
import type { Log } from "../../observe/log.ts";
import { UserError } from "../../user_error.ts";

/**
 * Checks that the node has what the mode requires. Logs each recommended requirement that is missing, and why `auto`
 * selected the mode.
 * @throws UserError that names everything that is missing.
 */
export async function requireAll(
  backend: Backend,
  modeChoice: ProxyConfig["modeChoice"],
  log: Log,
): Promise<void> {
  if (modeChoice?.works === false) throw new UserError(`--proxy-mode auto: ${modeChoice.reason}`);
  if (modeChoice !== undefined) {
    log.info("Selected the mode", { mode: backend.mode, reason: modeChoice.reason });
  }
  const absent = (await backend.probe()).filter((requirement) => !requirement.found);
  for (const { detail, severity } of absent) if (severity === "recommended") log.warn(detail);
  const missing = absent.filter(({ severity }) => severity === "required");
  if (missing.length === 0) return;
  const list = missing.map((one) => `\n  ${one.name}: ${describeRequirement(one)}`).join("");
  throw new UserError(`mode ${backend.mode} cannot work on this node; missing:${list}`);
}
