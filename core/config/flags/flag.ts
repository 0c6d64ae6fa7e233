import type { ModeTraits } from "../../backend/mode.ts";

/** A flag of the command line. */
export interface Flag<Type extends FlagType = FlagType> {
  readonly type: Type;
  readonly default: TypedValue[Type];
  /** A text that names modes is made from the modes of the program. */
  readonly help: string | ((modes: readonly ModeTraits[]) => string);
  /** One letter, or the name of a flag that has no long name. */
  readonly shorthand?: string;
  /** Says which flag replaces this one. A deprecated flag is not in the help. */
  readonly deprecated?: string;
  /** Text of the value when the flag is given without one. Such a flag takes a value only after "=". */
  readonly valueIfBare?: string;
  /**
   * Name of the flag that this one is an old name of. The new name wins when both are given. An alias is deprecated
   * and has the type of the other flag.
   */
  readonly aliasOf?: string;
  /** Values that shells offer. */
  readonly offers?: Offers | ((modes: readonly ModeTraits[]) => Offers);
  /** Paths of the same setting in the configuration file. As in kube-proxy, --config makes such a flag ineffective. */
  readonly fields?: readonly string[];
}

/** The values to choose from, or the kind of path. */
export type Offers = readonly string[] | "file" | "directory";

/** Flags by name, without the dashes. */
export type FlagTable = Readonly<Record<string, Flag>>;

/** The value of a flag by its type. */
export interface TypedValue {
  string: string;
  ip: string;
  /** An address, or an address and a port; "" for none. */
  "ip:port": string;
  /** True when the flag is given without a value. */
  bool: boolean;
  int: number;
  number: number;
  /** In the format of Go, see `formatDuration`. */
  duration: string;
  /** Separated by commas. A repeated flag adds to the list. */
  list: readonly string[];
  /** "true", "false", "raw", or a version of Kubernetes such as v1.37.1. */
  version: string;
  /** Name=true,Name=false. A repeated flag adds to the switches. */
  switches: Readonly<Record<string, boolean>>;
}

export type FlagType = keyof TypedValue;

/** The value of every flag of a table: as given, or the default. */
export type ValuesOf<Flags extends FlagTable> = {
  readonly [Name in keyof Flags]: TypedValue[Flags[Name]["type"]];
};

export function flag<Type extends FlagType>(
  type: Type,
  fallback: TypedValue[Type],
  help: Flag["help"],
  more: Pick<Flag, "shorthand" | "deprecated" | "fields" | "valueIfBare" | "offers"> = {},
): Flag<Type> {
  return { type, default: fallback, help, ...more };
}

/** Makes the entry for the old name of a flag that is now called `name`. */
export function alias<Type extends FlagType>(name: string, renamed: Flag<Type>): Flag<Type> {
  return { ...renamed, aliasOf: name, deprecated: `use --${name}` };
}
