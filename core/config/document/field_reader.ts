import { type Cidr, parseCidr } from "../../net/address.ts";
import { UserError } from "../../user_error.ts";
import { parseDuration } from "./duration.ts";
import { type ListenAddress, parseListenAddress } from "./listen_address.ts";

/**
 * Checks settings and collects all mistakes, so that the operator sees them at once. After a mistake a method returns
 * a value that only has the right type: use no value before `finish` has succeeded.
 */
export class FieldReader {
  readonly #problems: string[] = [];
  readonly #nameOf: (field: string) => string;

  /** @param nameOf returns the name under which the operator wrote a field of the document. */
  constructor(nameOf: (field: string) => string) {
    this.#nameOf = nameOf;
  }

  /** Records a mistake. `expected` follows "must be" in the message. */
  wrong(field: string, value: unknown, expected: string): void {
    this.#problems.push(`${this.#nameOf(field)} ${JSON.stringify(value)}: must be ${expected}`);
  }

  /**
   * Returns milliseconds.
   * @param min "positive" rejects 0.
   */
  duration(field: string, text: string, min: "positive" | "zero"): number {
    const ms = parseDuration(text);
    if (ms === undefined) this.wrong(field, text, "a duration such as 30s, 1m30s or 100ms");
    else if (min === "positive" && ms <= 0) this.wrong(field, text, "more than 0");
    else if (ms < 0) this.wrong(field, text, "0 or more");
    return ms ?? 0;
  }

  integer(field: string, value: number, min: number, max?: number): number {
    if (!Number.isInteger(value) || value < min || value > (max ?? Infinity)) {
      this.wrong(field, value, max === undefined ? `${min} or more` : `between ${min} and ${max}`);
    }
    return value;
  }

  choice<Choice extends string>(field: string, text: string, choices: readonly Choice[]): Choice {
    const chosen = choices.find((choice) => choice === text);
    if (chosen === undefined) this.wrong(field, text, `one of ${choices.join(", ")}`);
    // A caller without choices is a defect.
    return chosen ?? choices[0]!;
  }

  cidrs(field: string, texts: readonly string[]): readonly Cidr[] {
    return texts.flatMap((text) => {
      const cidr = parseCidr(text.trim());
      if (cidr !== undefined) return [cidr];
      this.wrong(field, text, "an address range such as 10.100.0.0/16 or fde4:8dba:82e1::/48");
      return [];
    });
  }

  /** Returns undefined for "". */
  listenAddress(field: string, text: string): ListenAddress | undefined {
    if (text === "") return undefined;
    const address = parseListenAddress(text);
    if (address === undefined) {
      this.wrong(field, text, "an IP address and a port (1-65535), such as 0.0.0.0:10256 or [::]:10256");
    }
    return address;
  }

  /** @throws UserError that lists all mistakes, if there are any. */
  finish(): void {
    const [first, ...more] = this.#problems;
    if (first === undefined) return;
    if (more.length === 0) throw new UserError(first);
    throw new UserError([`${more.length + 1} settings are wrong:`, first, ...more].join("\n  "));
  }
}
