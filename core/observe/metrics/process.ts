import type { MetricRegistry, Sample } from "./registry/registry.ts";

/**
 * Unit in which the kernel reports times to user space, on every architecture (USER_HZ, asm-generic/param.h).
 */
const TICKS_PER_SECOND = 100;
/** Value of a limit that is not set: the largest number of 64 bits, as procfs of Prometheus has it. */
const UNLIMITED = 2 ** 64;
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
  registry.readGauge(
    {
      name: "process_virtual_memory_max_bytes",
      help: "Maximum amount of virtual memory available in bytes.",
    },
    [],
    single(({ maxVirtualBytes }) => maxVirtualBytes),
  );
  registry.readCounter(
    {
      name: "process_network_receive_bytes_total",
      help: "Number of bytes received by the process over the network.",
    },
    [],
    single(({ receivedBytes }) => receivedBytes),
  );
  registry.readCounter(
    {
      name: "process_network_transmit_bytes_total",
      help: "Number of bytes sent by the process over the network.",
    },
    [],
    single(({ sentBytes }) => sentBytes),
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
  readonly maxVirtualBytes: number;
  /** Bytes of the network namespace over IPv4, because the kernel does not count those of a process. */
  readonly receivedBytes: number;
  readonly sentBytes: number;
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
  const limits = Deno.readTextFileSync("/proc/self/limits");
  const limit = (name: string) => {
    const soft = new RegExp(`^${name} +(\\S+)`, "m").exec(limits)?.[1];
    return soft === "unlimited" ? UNLIMITED : Number(soft);
  };
  const octets = ipCounters();
  return {
    cpuSeconds: (field(14) + field(15)) / TICKS_PER_SECOND,
    virtualBytes: field(23),
    residentBytes: Deno.memoryUsage().rss,
    // Without the descriptor that reads the directory.
    openFiles: [...Deno.readDirSync("/proc/self/fd")].length - 1,
    maxFiles: limit("Max open files"),
    maxVirtualBytes: limit("Max address space"),
    receivedBytes: octets.get("InOctets") ?? 0,
    sentBytes: octets.get("OutOctets") ?? 0,
  };
}

/** Reads the counters IpExt of the network namespace: a line of names, then a line of values. */
function ipCounters(): ReadonlyMap<string, number> {
  const [names = "", values = ""] = Deno.readTextFileSync("/proc/self/net/netstat").split("\n")
    .filter((line) => line.startsWith("IpExt: "));
  const numbers = values.split(" ");
  return new Map(names.split(" ").map((name, index) => [name, Number(numbers[index])]));
}

function readLine(path: string, pattern: RegExp): string {
  return pattern.exec(Deno.readTextFileSync(path))?.[1] ?? "";
}
