import { isBehind } from "./files.ts";
import type { Invalid } from "./reader.ts";

/**
 * Tells whether a start would remove objects only because files are broken at the moment. The rules of the previous
 * process are in the kernel then, and the first programming would remove those of every object that it does not know.
 */
export class StartCheck {
  readonly #recorded: ReadonlyMap<string, readonly string[]>;

  /** @param recorded names of the objects that the previous process had in force, by file */
  constructor(recorded: ReadonlyMap<string, readonly string[]>) {
    this.#recorded = recorded;
  }

  /** Reports whether the file had objects in force. */
  had(path: string): boolean {
    return (this.#recorded.get(path)?.length ?? 0) > 0;
  }

  /**
   * @param broken objects that cannot be read, by file or by directory ("team/")
   * @param isDefined tells whether a readable file defines an object
   * @returns what is missing and what to do, or undefined when nothing is
   */
  missing(broken: ReadonlyMap<string, Invalid>, isDefined: (name: string) => boolean): string | undefined {
    for (const [place, invalid] of broken) {
      const lost = [...this.#recorded]
        .filter(([path]) => isBehind(path, [place]))
        .flatMap(([, names]) => names)
        .filter((name) => !isDefined(name) && (invalid === "any" || invalid.has(name)));
      const [first] = lost;
      if (first === undefined) continue;
      const what = lost.length === 1 ? first : `${first} and ${lost.length - 1} more`;
      return `${place} is broken or cannot be read, and ${what} of it may be in force; correct or remove it`;
    }
    return undefined;
  }
}
