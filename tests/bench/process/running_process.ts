import { descendantsOf, memory, ResidentMemory } from "./resident_memory.ts";

/** A proxy under measurement. Disposal kills it and its children, so that its rules stay. */
export class RunningProcess implements AsyncDisposable {
  readonly memory: ResidentMemory;
  /** Rejects if the process ends by itself. */
  readonly failure: Promise<never>;
  readonly #process: Deno.ChildProcess;
  #isKilled = false;

  constructor([command = "", ...args]: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.#process = new Deno.Command(command, { args, env, stdin: "null", stdout: "null", stderr: "null" })
      .spawn();
    this.failure = new Promise((_, reject) => {
      this.#process.status.then(({ code }) => {
        if (!this.#isKilled) reject(new Error(`${command} ${args.join(" ")} ended with code ${code}`));
      });
    });
    this.memory = new ResidentMemory(this.#process.pid);
  }

  /** CPU time of the process and of its ended children, in milliseconds. */
  get cpu(): number {
    const [, after = ""] = Deno.readTextFileSync(`/proc/${this.#process.pid}/stat`).split(") ");
    // The first field after the name is field 3; utime, stime, cutime and cstime are fields 14 to 17, in ticks of
    // 10 ms (proc(5)).
    return after.split(" ").slice(11, 15).reduce((sum, ticks) => sum + Number(ticks) * 10, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.memory[Symbol.dispose]();
    const children = descendantsOf(this.#process.pid);
    this.#isKilled = true;
    try {
      this.#process.kill("SIGKILL");
    } catch (error) {
      // The process has already ended.
      if (!(error instanceof TypeError)) throw error;
    }
    await this.#process.status;
    // An iptables-restore would continue without its parent, for minutes.
    for (const pid of children) await kill(pid);
  }
}

async function kill(pid: number): Promise<void> {
  try {
    Deno.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  // The process ends only after its current system call.
  while (memory(pid, "VmRSS") > 0) await new Promise((resolve) => setTimeout(resolve, 10));
}
