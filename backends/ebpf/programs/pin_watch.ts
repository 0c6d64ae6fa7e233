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
  const check = () => {
    timer = undefined;
    const detached = findDetached();
    if (detached !== "") onForeignChange(detached);
  };
  const follow = async () => {
    for await (const _event of watcher) timer ??= setTimeout(check, SETTLE_MS);
  };
  follow();
  return {
    [Symbol.dispose]() {
      clearTimeout(timer);
      watcher.close();
    },
  };
}
