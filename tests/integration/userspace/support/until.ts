import { pollPause, slowness } from "../../../lab/pace.ts";

/** Waits for a condition, at most 20 s. @throws after that. */
export async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  const limit = performance.now() + 20_000 * slowness;
  while (!await condition()) {
    if (performance.now() > limit) throw new Error("the condition has not come true in 20 s");
    await pollPause(20);
  }
}
