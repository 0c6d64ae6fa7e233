import type { Pins } from "./pins.ts";

/** Events within this time share one check, because the removal of a directory causes many. */
const SETTLE_MS = 50;

/**
 * Watches the directory of links, and reports when another program removes one. Changes of map entries cause
 * no event; every reconcile compares them.
 * @param findDetached describes detached programs; "" if there are none, as after our own changes.
 * @throws Deno.errors.NotFound if the directory does not exist.
 */
export function watchPins(
  pins: Pins,
  findDetached: () => string,
  onForeignChange: (what: string) => void,
): Disposable {
  const watcher = Deno.watchFs(`${pins.directory}/links`);
  let timer: number | undefined;
  // Without an answer, for example because no file descriptor is left, a reconcile has to compare everything.
  const unknown = (error: unknown) =>
    onForeignChange(
      `the pinned programs could not be checked: ${error instanceof Error ? error.message : error}`,
    );
  const check = () => {
    timer = undefined;
    try {
      const detached = findDetached();
      if (detached !== "") onForeignChange(detached);
    } catch (error) {
      unknown(error);
    }
  };
  const follow = async () => {
    for await (const _event of watcher) timer ??= setTimeout(check, SETTLE_MS);
  };
  follow().catch(unknown);
  return {
    [Symbol.dispose]() {
      clearTimeout(timer);
      watcher.close();
    },
  };
}
