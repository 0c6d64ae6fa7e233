import { alias, flag } from "../../core/config/flags/flag.ts";

const maxFrontends = flag("int", 131072, "Maximum number of addresses and ports of services.");
const maxEndpoints = flag(
  "int",
  524288,
  "Maximum number of endpoints of services. Each slot of a Maglev table counts as one. " +
    "An endpoint takes 24 bytes.",
);
const maxConnections = flag(
  "int",
  131072,
  "Maximum number of established connections from outside the node. Half as many may be new, and half as many " +
    "UDP flows may last. A connection takes some 850 bytes.",
);
const maxClients = flag("int", 65536, "Maximum number of clients of services with session affinity.");

/** kube-proxy has no such mode, so its configuration file has no fields for these flags. */
export const ebpfFlags = {
  "ebpf-bpffs": flag(
    "string",
    "/sys/fs/bpf/proxy",
    "Directory below a BPF file system for pinned maps and programs. They survive a restart.",
    { offers: "directory" },
  ),
  "ebpf-cgroup": flag(
    "string",
    "",
    "The cgroup (v2) whose processes have their sockets balanced, including the cgroups below it. " +
      "Default: the root.",
    { offers: "directory" },
  ),
  "ebpf-sockets": flag(
    "string",
    "all",
    "The sockets that get their endpoint when they connect: all below the cgroup, or node, which leaves those of pods " +
      "to be balanced by their packets, so that sidecars and rules of netfilter in pods see the address of the service.",
    { offers: ["all", "node"] },
  ),
  "ebpf-devices": flag(
    "list",
    [],
    "Network devices whose incoming packets are balanced. Default: all except loopback.",
  ),
  "ebpf-balancing": flag(
    "string",
    "random",
    "How connections are balanced when the Service does not say: random, or maglev, which selects the same " +
      "endpoint for a connection on every node.",
    { offers: ["random", "maglev"] },
  ),
  "ebpf-forward": flag(
    "string",
    "auto",
    "How packets for services leave: direct, past netfilter; stack, through its chain FORWARD, whose rules then apply " +
      "to them; or auto, which chooses stack on nodes with a network policy engine that uses such rules, or with " +
      "policies of IPsec.",
    { offers: ["auto", "direct", "stack"] },
  ),
  "ebpf-redirect-peer": flag(
    "bool",
    true,
    "Whether packets from outside skip the node's side of the veth pair of their pod, if nothing is attached there. " +
      "Packet captures on that side do not see them.",
  ),
  "ebpf-maglev-table-size": flag(
    "int",
    1021,
    "Slots in the Maglev table of a service: a prime, about a hundred times the number of endpoints.",
  ),
  "ebpf-max-frontends": maxFrontends,
  "ebpf-max-endpoints": maxEndpoints,
  "ebpf-max-connections": maxConnections,
  "ebpf-max-clients": maxClients,
  "ebpf-most-frontends": alias("ebpf-max-frontends", maxFrontends),
  "ebpf-most-endpoints": alias("ebpf-max-endpoints", maxEndpoints),
  "ebpf-most-connections": alias("ebpf-max-connections", maxConnections),
  "ebpf-most-clients": alias("ebpf-max-clients", maxClients),
};
