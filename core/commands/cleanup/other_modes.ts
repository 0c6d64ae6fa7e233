import type { ConfiguredMode } from "../../backend/mode.ts";
import type { ProxyConfig } from "../../config/config.ts";

/** The kernel objects of a mode that is not in use. */
export interface LeftoversOfMode {
  readonly mode: string;
  /** Objects that a start removes once its own rules are in force. */
  readonly removed: readonly string[];
}

/**
 * Reads which kernel objects other modes have, ours and kube-proxy's. Changes nothing.
 * @throws BackendError when the kernel cannot be read.
 */
export async function leftoversOfOtherModes(
  { mode: inUse, modes }: Pick<ProxyConfig, "mode" | "modes">,
): Promise<readonly LeftoversOfMode[]> {
  const found: LeftoversOfMode[] = [];
  for (const mode of modes) if (mode !== inUse) found.push(await leftoversOf(mode));
  return found;
}

/** Reads which kernel objects a mode has. @throws BackendError when the kernel cannot be read. */
export async function leftoversOf(mode: ConfiguredMode): Promise<LeftoversOfMode> {
  using backend = mode.create();
  return { mode: mode.name, removed: await backend.leftovers() };
}
