/** Sampling interval. The memory of a child process that runs for a few milliseconds, such as `nft`, may be missed. */
const PERIOD_MS = 20;

/** Memory of a process and its descendants, in MB of 1,000,000 bytes. */
export class ResidentMemory implements Disposable {
  readonly #timer: number;
  #highest = 0;

  constructor(private readonly pid: number) {
    this.#timer = setInterval(() => this.#highest = Math.max(this.#highest, this.now()), PERIOD_MS);
  }

  now(): number {
    return [this.pid, ...descendantsOf(this.pid)].reduce((sum, pid) => sum + memory(pid, "VmRSS"), 0);
  }

  /** Maximum of the samples and of the kernel's own peak value for the process. */
  peak(): number {
    return Math.max(this.#highest, memory(this.pid, "VmHWM"));
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** Value of a field of /proc/PID/status; 0 if there is no such process. */
export function memory(pid: number, field: "VmRSS" | "VmHWM"): number {
  const line = new RegExp(`${field}:\\s+(\\d+) kB`).exec(read(`/proc/${pid}/status`));
  return Math.round(Number(line?.[1] ?? 0) * 1024 / 1e6);
}

/** All direct and indirect children of a process. */
export function descendantsOf(pid: number): readonly number[] {
  const children = threadsOf(pid).flatMap((thread) =>
    read(`/proc/${pid}/task/${thread}/children`).split(" ").filter((child) => child !== "").map(Number)
  );
  return children.flatMap((child) => [child, ...descendantsOf(child)]);
}

function threadsOf(pid: number): readonly string[] {
  try {
    return [...Deno.readDirSync(`/proc/${pid}/task`)].map(({ name }) => name);
  } catch {
    return [];
  }
}

function read(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}
