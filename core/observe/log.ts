/** Structured log lines. Everything else in the tree logs through this interface and this file alone knows how. */
export interface Log {
  error(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  /** Shown when `-v` is at least `verbosity` (default 0). */
  info(message: string, fields?: Fields, verbosity?: number): void;
  /** The same log with fields added to every line. */
  with(fields: Fields): Log;
}

export type Fields = Readonly<Record<string, unknown>>;

/** Drops everything: for tests and for library use. */
export const silentLog: Log = { error() {}, warn() {}, info() {}, with: () => silentLog };
