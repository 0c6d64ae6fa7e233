import { flag } from "./flag.ts";

/** What kube-proxy has no mode for, and so no field of its configuration file. */
export const ebpf = {
  "ebpf-bpffs": flag(
    "string",
    "/sys/fs/bpf/proxy",
    "Directory of a BPF file system to pin maps and programs in: what survives a restart.",
  ),
  "ebpf-cgroup": flag(
    "string",
    "",
    "The cgroup (v2) whose processes' sockets are balanced, with all below it. Default: the root.",
  ),
  "ebpf-devices": flag(
    "list",
    [],
    "Network devices whose incoming packets are balanced. Default: all but loopback.",
  ),
  "ebpf-balancing": flag(
    "string",
    "random",
    "How connections are spread where a Service does not say it: random, or maglev, which gives a connection the " +
      "same endpoint on every node.",
  ),
  "ebpf-maglev-table-size": flag(
    "int",
    1021,
    "Slots of a service's Maglev table: a prime, some hundred times its endpoints.",
  ),
  "ebpf-most-frontends": flag("int", 131072, "Addresses and ports of services there is room for."),
  "ebpf-most-endpoints": flag(
    "int",
    524288,
    "Endpoints of services there is room for, a Maglev table's slots each counting as one; 24 bytes each.",
  ),
  "ebpf-most-connections": flag(
    "int",
    131072,
    "Connections from outside there is room for, some 400 bytes each.",
  ),
  "ebpf-most-clients": flag("int", 65536, "Clients of services with session affinity there is room for."),
};
