import type { Pins } from "./pins.ts";

/** Unpinning a directory is many events. */
const SETTLE_MS = 50;

/**
 * Calls back when somebody unpins our links. A map's entries change without a word: those are compared in every
 * reconcile. The links' directory has to be there.
 * @param missing what is not as it should be, "" for nothing: our own changes are seen too.
 */
export function watchPins(
  pins: Pins,
  missing: () => string,
  onForeignChange: (what: string) => void,
): Disposable {
  const watcher = Deno.watchFs(`${pins.directory}/links`);
  let settling: number | undefined;
  const look = () => {
    settling = undefined;
    const what = missing();
    if (what !== "") onForeignChange(what);
  };
  const follow = async () => {
    for await (const _event of watcher) settling ??= setTimeout(look, SETTLE_MS);
  };
  follow();
  return {
    [Symbol.dispose]() {
      clearTimeout(settling);
      watcher.close();
    },
  };
}
