/** A process that answers each line of JSON on its standard input with a line of JSON. */
export class LineProcess implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #requests: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: ReadableStreamDefaultReader<string>;
  #rest = "";

  constructor(command: string, args: readonly string[]) {
    this.#process = new Deno.Command(command, { args: [...args], stdin: "piped", stdout: "piped" }).spawn();
    this.#requests = this.#process.stdin.getWriter();
    this.#lines = this.#process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** Sends a request and returns the answer. Callers wait for an answer before the next request. */
  // deno-lint-ignore no-explicit-any
  async ask(request: unknown): Promise<any> {
    await this.#requests.write(new TextEncoder().encode(JSON.stringify(request) + "\n"));
    while (!this.#rest.includes("\n")) {
      const { value, done } = await this.#lines.read();
      if (done) throw new Error("the process ended");
      this.#rest += value;
    }
    const end = this.#rest.indexOf("\n");
    const answer = JSON.parse(this.#rest.slice(0, end));
    this.#rest = this.#rest.slice(end + 1);
    if (answer.failed !== undefined) throw new Error(answer.failed);
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#requests.close().catch(() => {});
    await this.#lines.cancel();
    await this.#process.status;
  }
}
