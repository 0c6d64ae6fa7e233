import { UserError } from "../../user_error.ts";
import { valueTypes } from "./flag_value.ts";
import type { Flag, FlagType, TypedValue } from "./flag.ts";
import { type FlagName, flags, type FlagValues } from "./flags.ts";
import { nearest } from "./suggest.ts";

export interface CommandLine {
  /** What is neither a flag nor a flag's value. */
  readonly words: readonly string[];
  readonly values: FlagValues;
  /** Flags that were written, whatever their value. */
  readonly given: ReadonlySet<FlagName>;
}

/**
 * Reads arguments as pflag does: `--name=value`, `--name value`, `--switch`, `--switch=false`, `-v 2`, `-v=2`, `-v2`;
 * `_` is as good as `-` in names, `--` ends the flags, and empty arguments are skipped.
 * @throws UserError for an unknown flag or a value that does not fit its type.
 */
export function parseCommandLine(args: readonly string[]): CommandLine {
  const read = new ValueReader();
  const words: string[] = [];
  const rest = args.filter((arg) => arg !== "");
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === "--") {
      words.push(...rest.splice(0));
    } else if (!arg.startsWith("-") || arg === "-") {
      words.push(arg);
    } else {
      const { name, written, attached } = arg.startsWith("--") ? splitLong(arg) : splitShort(arg);
      // A switch never takes the next argument: "--cleanup x" has a word x.
      const text = attached ?? (flags[name].type === "bool" ? "true" : rest.shift());
      if (text === undefined) throw new UserError(`${written} needs a value`);
      read.add(name, flags[name].type, text, written);
    }
  }
  return { words, values: read.values, given: read.given };
}

/** The flag an argument names, how to call it in messages, and the value written in the same argument. */
interface Written {
  readonly name: FlagName;
  readonly written: string;
  readonly attached: string | undefined;
}

function splitLong(arg: string): Written {
  const equals = arg.indexOf("=");
  const name = arg.slice(2, equals < 0 ? undefined : equals).replaceAll("_", "-");
  if (!isFlag(name)) throw unknownFlag(`--${name}`, name);
  return { name, written: `--${name}`, attached: equals < 0 ? undefined : arg.slice(equals + 1) };
}

function splitShort(arg: string): Written {
  const letter = arg.slice(1, 2);
  const name = flagNames.find((name) => table[name].shorthand === letter);
  const attached = arg.slice(2).replace(/^=/, "");
  // "-config" is a long flag with a dash too few, and so is "-version": a shorthand's value is a number.
  if (name === undefined || (attached !== "" && !/^\d|^(true|false)$/.test(attached))) {
    const long = arg.slice(1).replace(/=.*/s, "").replaceAll("_", "-");
    throw unknownFlag(`-${long}`, long);
  }
  return { name, written: `-${letter}`, attached: attached === "" ? undefined : attached };
}

function unknownFlag(written: string, name: string): UserError {
  const meant = nearest(name, flagNames.filter((name) => table[name].deprecated === undefined));
  const hint = meant === undefined ? "" : `did you mean --${meant}? `;
  return new UserError(`unknown flag ${written}: ${hint}(proxy --help lists all)`);
}

const table: Readonly<Record<FlagName, Flag>> = flags;
const flagNames = Object.keys(flags).filter(isFlag);

function isFlag(name: string): name is FlagName {
  return Object.hasOwn(flags, name);
}

/** Flags' values, the defaults until something else is read. */
class ValueReader {
  readonly given = new Set<FlagName>();
  readonly #values: Partial<Record<FlagName, unknown>> = Object.fromEntries(
    flagNames.map((name) => [name, flags[name].default]),
  );

  /** @throws UserError when the text does not fit the type. */
  add<Type extends FlagType>(name: FlagName, type: Type, text: string, written: string): void {
    const { parse, expected, join } = valueTypes[type];
    const value = parse(text);
    if (value === undefined) throw new UserError(`${written} ${JSON.stringify(text)}: must be ${expected}`);
    const before = this.given.has(name) ? this.#values[name] as TypedValue[Type] : undefined;
    this.#values[name] = before === undefined || join === undefined ? value : join(before, value);
    this.given.add(name);
  }

  /** The table gives each name its type, and `add` keeps to it. */
  get values(): FlagValues {
    return this.#values as FlagValues;
  }
}
