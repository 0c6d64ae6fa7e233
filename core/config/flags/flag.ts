/** A flag, as the command line's table has it. */
export interface Flag<Type extends FlagType = FlagType> {
  readonly type: Type;
  readonly default: TypedValue[Type];
  readonly help: string;
  readonly shorthand?: string;
  /** What to use instead; such a flag is left out of the help. */
  readonly deprecated?: string;
  /** Where the configuration file has the same setting. Such a flag is ignored when --config is given, as upstream's are. */
  readonly fields?: readonly string[];
}

/** What a flag of each type holds once read. */
export interface TypedValue {
  string: string;
  ip: string;
  /** An address, or an address and a port; "" for none. */
  "ip:port": string;
  /** Alone it means true. */
  bool: boolean;
  int: number;
  number: number;
  /** As Go writes it, see `formatDuration`. */
  duration: string;
  /** Comma-separated; more of the same flag add to it. */
  list: readonly string[];
  /** Name=true,Name=false; more of the same flag add to it. */
  switches: Readonly<Record<string, boolean>>;
}

export type FlagType = keyof TypedValue;

export function flag<Type extends FlagType>(
  type: Type,
  fallback: TypedValue[Type],
  help: string,
  more: Pick<Flag, "shorthand" | "deprecated" | "fields"> = {},
): Flag<Type> {
  return { type, default: fallback, help, ...more };
}
