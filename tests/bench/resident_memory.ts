/** Between two looks at the process tree, in milliseconds: what an `nft` of some milliseconds holds may be missed. */
const PERIOD_MS = 20;

/** Memory of a process and its descendants, seen from outside. In MB of 1,000,000 bytes. */
export class ResidentMemory implements Disposable {
  readonly #timer: number;
  #highest = 0;

  constructor(private readonly pid: number) {
    this.#timer = setInterval(() => this.#highest = Math.max(this.#highest, this.now()), PERIOD_MS);
  }

  now(): number {
    return [this.pid, ...descendantsOf(this.pid)].reduce((sum, pid) => sum + memory(pid, "VmRSS"), 0);
  }

  /** The most that was seen, or that the kernel says the process itself had. */
  peak(): number {
    return Math.max(this.#highest, memory(this.pid, "VmHWM"));
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** Of /proc/PID/status; 0 when there is no such process. */
export function memory(pid: number, field: "VmRSS" | "VmHWM"): number {
  const line = new RegExp(`${field}:\\s+(\\d+) kB`).exec(read(`/proc/${pid}/status`));
  return Math.round(Number(line?.[1] ?? 0) * 1024 / 1e6);
}

/** The children of a process, and theirs. */
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
