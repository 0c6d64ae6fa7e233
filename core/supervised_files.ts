import { readBlockingFile } from "../ffi/files/blocking_file.ts";
import { supervised } from "./async/attempt.ts";

/**
 * Reads files that may be on a dead file system, where a read neither ends nor can be cancelled. A file has at most one
 * read at a time, so that retries do not use up the runtime's threads.
 */
export class SupervisedFiles {
  readonly #pending = new Map<string, Promise<string>>();

  readonly #timeoutMs: number;

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  /**
   * @param field names the file in messages: "client-certificate"
   * @throws Error that names the file; DeadlineError when the read takes too long
   */
  read(field: string, path: string, signal: AbortSignal): Promise<string> {
    const reading = this.#pending.get(path) ?? this.#start(field, path);
    return supervised(`${field} ${path}`, this.#timeoutMs, signal, () => reading);
  }

  #start(field: string, path: string): Promise<string> {
    const reading = readBlockingFile(path)
      .then((bytes) => new TextDecoder().decode(bytes))
      .catch((error) => {
        throw new Error(`${field} ${path}: ${error instanceof Error ? error.message : error}`);
      })
      .finally(() => this.#pending.delete(path));
    this.#pending.set(path, reading);
    return reading;
  }
}
