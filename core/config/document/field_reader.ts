import { type Cidr, parseCidr } from "../../net/address.ts";
import { UserError } from "../../user_error.ts";
import { parseDuration } from "./duration.ts";
import { type ListenAddress, parseListenAddress } from "./listen_address.ts";

/**
 * Reads settings and collects what is wrong with them, so that an operator sees all mistakes at once. After a mistake
 * a method returns a value that only has the right type: nothing read is to be used before `finish`.
 */
export class FieldReader {
  readonly #problems: string[] = [];
  readonly #nameOf: (field: string) => string;

  /** `nameOf` gives a field of the document the name the operator wrote it under. */
  constructor(nameOf: (field: string) => string) {
    this.#nameOf = nameOf;
  }

  /** Notes a mistake. `expected` follows "must be". */
  wrong(field: string, value: unknown, expected: string): void {
    this.#problems.push(`${this.#nameOf(field)} ${JSON.stringify(value)}: must be ${expected}`);
  }

  /** Milliseconds. */
  duration(field: string, text: string, least: "positive" | "zero"): number {
    const ms = parseDuration(text);
    if (ms === undefined) this.wrong(field, text, "a duration such as 30s, 1m30s or 100ms");
    else if (least === "positive" && ms <= 0) this.wrong(field, text, "more than 0");
    else if (ms < 0) this.wrong(field, text, "0 or more");
    return ms ?? 0;
  }

  integer(field: string, value: number, least: number, most?: number): number {
    if (!Number.isInteger(value) || value < least || value > (most ?? Infinity)) {
      this.wrong(field, value, most === undefined ? `${least} or more` : `within ${least} and ${most}`);
    }
    return value;
  }

  choice<Choice extends string>(field: string, text: string, choices: readonly Choice[]): Choice {
    const chosen = choices.find((choice) => choice === text);
    if (chosen === undefined) this.wrong(field, text, `one of ${choices.join(", ")}`);
    // Without choices there is nothing to return, and that is a defect of the caller.
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

  /** Undefined for "". */
  listenAddress(field: string, text: string): ListenAddress | undefined {
    if (text === "") return undefined;
    const address = parseListenAddress(text);
    if (address === undefined) {
      this.wrong(field, text, "an IP address and a port of 1-65535, as 0.0.0.0:10256 or [::]:10256");
    }
    return address;
  }

  /** @throws UserError with all mistakes. */
  finish(): void {
    const [first, ...more] = this.#problems;
    if (first === undefined) return;
    if (more.length === 0) throw new UserError(first);
    throw new UserError([`${more.length + 1} settings are wrong:`, first, ...more].join("\n  "));
  }
}
