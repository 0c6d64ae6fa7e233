import { Counter, Gauge, type Metric } from "./exposition.ts";

/**
 * Unit in which the kernel reports times to user space, on every architecture (USER_HZ, asm-generic/param.h).
 */
const TICKS_PER_SECOND = 100;

/** The metrics that every Prometheus client has about its own process. Each scrape reads them from /proc. */
export class ProcessMetrics implements Metric {
  readonly #cpu = new Counter({
    name: "process_cpu_seconds_total",
    help: "Total user and system CPU time spent in seconds.",
  });
  readonly #resident = new Gauge({
    name: "process_resident_memory_bytes",
    help: "Resident memory size in bytes.",
  });
  readonly #virtual = new Gauge({
    name: "process_virtual_memory_bytes",
    help: "Virtual memory size in bytes.",
  });
  readonly #start = new Gauge({
    name: "process_start_time_seconds",
    help: "Start time of the process since unix epoch in seconds.",
  });
  readonly #openFiles = new Gauge({ name: "process_open_fds", help: "Number of open file descriptors." });
  readonly #maxFiles = new Gauge({
    name: "process_max_fds",
    help: "Maximum number of open file descriptors.",
  });

  constructor() {
    this.#start.set(Math.round(performance.timeOrigin) / 1000);
  }

  text(): string {
    try {
      this.#read();
    } catch {
      // Without a file descriptor for /proc, the last values have to do.
    }
    return [this.#cpu, this.#resident, this.#virtual, this.#start, this.#openFiles, this.#maxFiles]
      .map((metric) => metric.text()).join("");
  }

  #read(): void {
    // The fields after the command's name, which may contain spaces. Field 3 of proc_pid_stat(5) has index 0
    // here.
    const stat = readLine("/proc/self/stat", /\) (.*)/).split(" ").map(Number);
    const field = (number: number) => stat[number - 3] ?? 0;
    this.#cpu.set((field(14) + field(15)) / TICKS_PER_SECOND);
    this.#virtual.set(field(23));
    this.#resident.set(Deno.memoryUsage().rss);
    // Without the descriptor that reads the directory.
    this.#openFiles.set([...Deno.readDirSync("/proc/self/fd")].length - 1);
    const limit = readLine("/proc/self/limits", /^Max open files +(\S+)/m);
    this.#maxFiles.set(limit === "unlimited" ? Infinity : Number(limit));
  }
}

function readLine(path: string, pattern: RegExp): string {
  return pattern.exec(Deno.readTextFileSync(path))?.[1] ?? "";
}
