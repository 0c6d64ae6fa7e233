/** A Python program whose output is read line by line. It ends when its input does, or when it is disposed of. */
export class PythonProgram implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: ReadableStreamDefaultReader<string>;
  #rest = "";

  /** @param wrapper command that executes its arguments, in another network namespace for example */
  constructor(source: string, wrapper: readonly string[] = []) {
    const [command, ...args] = [...wrapper, "python3", "-c", source];
    this.#process = new Deno.Command(command, {
      args,
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#input = this.#process.stdin.getWriter();
    this.#lines = this.#process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** Returns the next line that the program prints. */
  async line(): Promise<string> {
    while (!this.#rest.includes("\n")) {
      const { value, done } = await this.#lines.read();
      if (done) throw new Error("the program has ended");
      this.#rest += value;
    }
    const end = this.#rest.indexOf("\n");
    const line = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end + 1);
    return line;
  }

  /** Writes a line to the program's input. */
  tell(line: string): void {
    void this.#input.write(new TextEncoder().encode(`${line}\n`)).catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await this.#process.status;
    await this.#lines.cancel();
    await this.#input.close().catch(() => {});
  }
}
