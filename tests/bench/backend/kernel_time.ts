/** Time in milliseconds that this process and its threads have spent in the kernel. The kernel counts ticks of 10 ms. */
export function kernelTime(): number {
  const [, afterName = ""] = Deno.readTextFileSync("/proc/self/stat").split(") ");
  // The first field after the name is field 3 (state); stime is field 15 (proc(5)).
  return Number(afterName.split(" ")[12]) * 10;
}
