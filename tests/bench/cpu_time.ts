/** Milliseconds that this process and its threads have spent in the kernel, as it counts them: in ticks of 10 ms. */
export function kernelTime(): number {
  const [, afterName = ""] = Deno.readTextFileSync("/proc/self/stat").split(") ");
  // State, the first after the name, is field 3, and stime is 15 (proc(5)).
  return Number(afterName.split(" ")[12]) * 10;
}
