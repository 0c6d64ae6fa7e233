import { fileSystemAnswers } from "../../ffi/files/blocking_file.ts";

export interface AnswerGateOptions {
  readonly directory: string;
  /** Called with everything that was requested since the last read. */
  readonly read: (named: ReadonlySet<string>, everything: boolean) => void;
  /** Called when the file system has not answered for `answerMs`. `read` follows when it answers. */
  readonly silent: () => void;
  readonly answerMs?: number;
  /** The seam for tests. */
  readonly ask?: (path: string) => Promise<void>;
}

const ANSWER_MS = 5000;
/** Time that a question has to end with the process. */
const LAST_ANSWER_MS = 200;

/**
 * Lets a directory be read only while its file system answers. Reading blocks the main thread, and with it /healthz and
 * every other change, so another thread asks the file system first.
 */
export class AnswerGate implements AsyncDisposable {
  readonly #options: AnswerGateOptions;
  #named = new Set<string>();
  #everything = false;
  #question: Promise<void> | undefined;
  #isDisposed = false;

  constructor(options: AnswerGateOptions) {
    this.#options = options;
  }

  /**
   * Requests a read. At most one question is open at a time, because it occupies a thread.
   * Resolves after the read.
   */
  request(named: ReadonlySet<string>, everything: boolean): Promise<void> {
    for (const path of named) this.#named.add(path);
    this.#everything ||= everything;
    return this.#question ??= this.#ask();
  }

  /** Ends without a further call, at once unless the file system is about to answer. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    const patience = Promise.withResolvers<void>();
    const timer = setTimeout(patience.resolve, LAST_ANSWER_MS);
    await Promise.race([this.#question, patience.promise]);
    clearTimeout(timer);
  }

  async #ask(): Promise<void> {
    const { directory, read, silent, answerMs = ANSWER_MS, ask = fileSystemAnswers } = this.#options;
    const timer = setTimeout(() => this.#isDisposed || silent(), answerMs);
    // The question alone does not keep the process alive.
    Deno.unrefTimer(timer);
    await ask(directory);
    clearTimeout(timer);
    this.#question = undefined;
    const [paths, everything] = [this.#named, this.#everything];
    this.#named = new Set();
    this.#everything = false;
    if (!this.#isDisposed) read(paths, everything);
  }
}
