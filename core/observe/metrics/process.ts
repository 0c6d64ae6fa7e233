import type { MetricRegistry, Sample } from "./registry.ts";

/**
 * Unit in which the kernel reports times to user space, on every architecture (USER_HZ, asm-generic/param.h).
 */
const TICKS_PER_SECOND = 100;
/** One scrape reads the files of /proc once. */
const FRESH_MS = 50;

/** Adds the metrics that every Prometheus client has about its own process, read from /proc. */
export function addProcessMetrics(registry: MetricRegistry): void {
  const process = new ProcessFacts();
  const single = (read: (facts: Facts) => number) => (): readonly Sample[] => {
    const { facts } = process;
    return facts === undefined ? [] : [{ labels: [], value: read(facts) }];
  };
  registry.readCounter(
    { name: "process_cpu_seconds_total", help: "Total user and system CPU time spent in seconds." },
    [],
    single(({ cpuSeconds }) => cpuSeconds),
  );
  registry.readGauge(
    { name: "process_resident_memory_bytes", help: "Resident memory size in bytes." },
    [],
    single(({ residentBytes }) => residentBytes),
  );
  registry.readGauge(
    { name: "process_virtual_memory_bytes", help: "Virtual memory size in bytes." },
    [],
    single(({ virtualBytes }) => virtualBytes),
  );
  addProcessStart(registry);
  registry.readGauge(
    { name: "process_open_fds", help: "Number of open file descriptors." },
    [],
    single(({ openFiles }) => openFiles),
  );
  registry.readGauge(
    { name: "process_max_fds", help: "Maximum number of open file descriptors." },
    [],
    single(({ maxFiles }) => maxFiles),
  );
}

/** Adds the time when this process started. */
export function addProcessStart(registry: MetricRegistry, marking = ""): void {
  const help = `${marking}Start time of the process since unix epoch in seconds.`;
  registry.gauge({ name: "process_start_time_seconds", help }).set(Math.round(performance.timeOrigin) / 1000);
}

interface Facts {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly virtualBytes: number;
  readonly openFiles: number;
  readonly maxFiles: number;
}

/** Facts about this process, from the kernel. */
class ProcessFacts {
  #facts: Facts | undefined;
  #readAt = -Infinity;

  /** Without a file descriptor for /proc, the last values have to do; undefined when there are none. */
  get facts(): Facts | undefined {
    const now = performance.now();
    if (now - this.#readAt < FRESH_MS) return this.#facts;
    try {
      this.#facts = readFacts();
      this.#readAt = now;
    } catch {
      return this.#facts;
    }
    return this.#facts;
  }
}

function readFacts(): Facts {
  // The fields after the command's name, which may contain spaces. Field 3 of proc_pid_stat(5) has index 0 here.
  const stat = readLine("/proc/self/stat", /\) (.*)/).split(" ").map(Number);
  const field = (number: number) => stat[number - 3] ?? 0;
  const limit = readLine("/proc/self/limits", /^Max open files +(\S+)/m);
  return {
    cpuSeconds: (field(14) + field(15)) / TICKS_PER_SECOND,
    virtualBytes: field(23),
    residentBytes: Deno.memoryUsage().rss,
    // Without the descriptor that reads the directory.
    openFiles: [...Deno.readDirSync("/proc/self/fd")].length - 1,
    maxFiles: limit === "unlimited" ? Infinity : Number(limit),
  };
}

function readLine(path: string, pattern: RegExp): string {
  return pattern.exec(Deno.readTextFileSync(path))?.[1] ?? "";
}
