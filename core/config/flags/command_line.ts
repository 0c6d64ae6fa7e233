import type { FlagReader, ModeTraits } from "../../backend/mode.ts";
import { UserError } from "../../user_error.ts";
import type { Flag, FlagTable, FlagType, TypedValue, ValuesOf } from "./flag.ts";
import { valueTypes } from "./flag_value.ts";
import { flags, type FlagValues } from "./flags.ts";
import { nearest } from "./suggest.ts";
import { allFlags } from "./table.ts";

export interface CommandLine {
  /** Arguments that are neither a flag nor the value of a flag. */
  readonly words: readonly string[];
  /** Values of the flags that all modes have. */
  readonly values: FlagValues;
  /** Returns the values of the flags of a mode. */
  readonly valuesOf: FlagReader;
  /** Names of the flags that were written, whatever their value. */
  readonly given: ReadonlySet<string>;
}

/**
 * Reads arguments as pflag does: `--name=value`, `--name value`, `--switch`, `--switch=false`, `-v 2`, `-v=2`, `-v2`.
 * `_` stands for `-` in names, `--` ends the flags, and empty arguments are skipped.
 * @param flagsOf returns the flags that a command has in addition; they are known after the first word, its name.
 * @throws UserError for an unknown flag, or for a value that does not fit the type of its flag.
 */
export function parseCommandLine(
  args: readonly string[],
  modes: readonly ModeTraits[],
  flagsOf: (command: string) => FlagTable = () => ({}),
): CommandLine {
  const table: Record<string, Flag> = { ...allFlags(modes) };
  const names = new FlagNames(table);
  const read = new ValueReader(table);
  const words: string[] = [];
  const rest = args.filter((arg) => arg !== "");
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === "--") {
      words.push(...rest.splice(0));
    } else if (!arg.startsWith("-") || arg === "-") {
      if (words.length === 0) {
        Object.assign(table, flagsOf(arg));
        names.command = arg;
      }
      words.push(arg);
    } else {
      const { name, type, written, attached } = arg.startsWith("--")
        ? names.splitLong(arg)
        : names.splitShort(arg);
      // A bool never takes the next argument: "--cleanup x" has a word x.
      const text = attached ?? (type === "bool" ? "true" : table[name]?.valueIfBare ?? rest.shift());
      if (text === undefined) throw new UserError(`${written} needs a value`);
      read.add(name, type, text, written);
    }
  }
  const valuesOf: FlagReader = (flags) => read.valuesOf(flags);
  return { words, values: valuesOf(flags), valuesOf, given: read.given };
}

interface WrittenFlag {
  readonly name: string;
  readonly type: FlagType;
  /** The flag as messages name it: `--name` or `-v`. */
  readonly written: string;
  /** The value, when it is part of the same argument. */
  readonly attached: string | undefined;
}

/** Finds the flag that an argument names. */
class FlagNames {
  /** The command whose help lists its flags; undefined before its name is read. */
  command: string | undefined;
  readonly #table: FlagTable;

  constructor(table: FlagTable) {
    this.#table = table;
  }

  /** @param arg begins with `--`. */
  splitLong(arg: string): WrittenFlag {
    const equals = arg.indexOf("=");
    const name = arg.slice(2, equals < 0 ? undefined : equals).replaceAll("_", "-");
    const flag = Object.hasOwn(this.#table, name) ? this.#table[name] : undefined;
    if (flag === undefined) throw this.#unknown(`--${name}`, name);
    const attached = equals < 0 ? undefined : arg.slice(equals + 1);
    return { name, type: flag.type, written: `--${name}`, attached };
  }

  /** @param arg begins with one `-`. */
  splitShort(arg: string): WrittenFlag {
    const letter = arg.slice(1, 2);
    const [name, flag] = Object.entries(this.#table).find(([, { shorthand }]) => shorthand === letter) ?? [];
    const attached = arg.slice(2).replace(/^=/, "");
    if (name === undefined || flag === undefined || !canBeAttached(flag, attached, arg[2] === "=")) {
      const long = arg.slice(1).replace(/=.*/s, "").replaceAll("_", "-");
      throw this.#unknown(`-${long}`, long);
    }
    return { name, type: flag.type, written: `-${letter}`, attached: attached === "" ? undefined : attached };
  }

  #unknown(written: string, name: string): UserError {
    const current = Object.entries(this.#table).filter(([, { deprecated }]) => deprecated === undefined);
    const meant = nearest(name, current.map(([name]) => name));
    const hint = meant === undefined ? "" : `: did you mean --${meant}?`;
    const words = ["proxy", ...(this.command === undefined ? [] : [this.command]), "--help"];
    return new UserError(`unknown flag ${written}${hint} (see ${words.join(" ")})`);
  }
}

/**
 * Tells the value of a shorthand from the rest of a long name: "-config" and "-version" are long flags that lack a
 * dash. Other than after "=", such a value is a number, a bool or one of a few words.
 */
function canBeAttached({ type, offers }: Flag, value: string, followsEquals: boolean): boolean {
  if (value === "" || /^\d|^(true|false)$/.test(value)) return true;
  return type === "string" && (followsEquals || (Array.isArray(offers) && offers.includes(value)));
}

/** Collects the values of flags. A flag that is not given has its default. */
class ValueReader {
  readonly given = new Set<string>();
  readonly #table: FlagTable;
  readonly #values: Record<string, unknown> = {};

  constructor(table: FlagTable) {
    this.#table = table;
  }

  /** @throws UserError when the text does not fit the type. */
  add<Type extends FlagType>(name: string, type: Type, text: string, written: string): void {
    const { parse, expected, join } = valueTypes[type];
    const value = parse(text);
    if (value === undefined) throw new UserError(`${written} ${JSON.stringify(text)}: must be ${expected}`);
    const before = this.given.has(name) ? this.#values[name] as TypedValue[Type] : undefined;
    this.#values[name] = before === undefined || join === undefined ? value : join(before, value);
    this.given.add(name);
  }

  valuesOf<Flags extends FlagTable>(flags: Flags): ValuesOf<Flags> {
    const values = Object.fromEntries(
      Object.entries(flags).map(([name, flag]) => [name, this.#values[this.#source(name)] ?? flag.default]),
    );
    // The table gives each name its type, and `add` keeps to it.
    return values as ValuesOf<Flags>;
  }

  /** The flag that decides the value of `name`: an alias that was given while `name` was not, or `name` itself. */
  #source(name: string): string {
    if (this.given.has(name)) return name;
    return Object.keys(this.#table).find((other) =>
      this.#table[other]?.aliasOf === name && this.given.has(other)
    ) ?? name;
  }
}
