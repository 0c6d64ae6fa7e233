import type { EbpfOptions } from "../../../backends/ebpf/options.ts";
import { BackendProcess } from "./backend_process.ts";
import type { NetworkNamespace } from "./network_namespace.ts";

/**
 * Starts mode ebpf in another process, in a network namespace.
 * @param mounts the BPF file system and the cgroup of the test.
 * @param options those that differ from `smallOptions`.
 * @param wrapper command that executes its arguments, for example with fewer privileges.
 */
export function startEbpf(
  namespace: Pick<NetworkNamespace, "name">,
  { bpffs, cgroup }: Pick<EbpfOptions, "bpffs" | "cgroup">,
  options: Partial<EbpfOptions> = {},
  wrapper: readonly string[] = [],
): BackendProcess {
  const json = JSON.stringify({ bpffs, cgroup, ...options });
  return new BackendProcess("ebpf", namespace, ["env", `EBPF_OPTIONS=${json}`, ...wrapper]);
}
