import { Counter, Gauge, type Metric } from "./exposition.ts";

/** The kernel reports times in this unit to user space on every architecture (USER_HZ, asm-generic/param.h). */
const TICKS_PER_SECOND = 100;

/** The metrics every Prometheus client has about its own process, read from /proc when they are asked for. */
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
    // Behind the command's name, which may hold spaces: see proc_pid_stat(5), whose field 3 is this one's 0.
    const stat = readLine("/proc/self/stat", /\) (.*)/).split(" ").map(Number);
    const field = (number: number) => stat[number - 3] ?? 0;
    this.#cpu.set((field(14) + field(15)) / TICKS_PER_SECOND);
    this.#virtual.set(field(23));
    this.#resident.set(Deno.memoryUsage().rss);
    // Less the one that reads the directory.
    this.#openFiles.set([...Deno.readDirSync("/proc/self/fd")].length - 1);
    const limit = readLine("/proc/self/limits", /^Max open files +(\S+)/m);
    this.#maxFiles.set(limit === "unlimited" ? Infinity : Number(limit));
    return [this.#cpu, this.#resident, this.#virtual, this.#start, this.#openFiles, this.#maxFiles]
      .map((metric) => metric.text()).join("");
  }
}

function readLine(path: string, wanted: RegExp): string {
  return wanted.exec(Deno.readTextFileSync(path))?.[1] ?? "";
}
