import type { EbpfOptions } from "../../../backends/ebpf/options.ts";

/** Options without any flag. */
export const defaultOptions: EbpfOptions = {
  bpffs: "/sys/fs/bpf/proxy",
  cgroup: "",
  sockets: "all",
  devices: [],
  balancing: "random",
  forwarding: "direct",
  redirectPeer: false,
  maglevTableSize: 1021,
  capacity: { frontends: 131072, endpoints: 524288, connections: 131072, clients: 65536 },
  timeouts: {
    tcpEstablishedTimeoutMs: 86_400_000,
    tcpCloseWaitTimeoutMs: 3_600_000,
    udpTimeoutMs: 0,
    udpStreamTimeoutMs: 0,
  },
};

/** Small map capacities, so that a test takes little memory. */
export const smallOptions: EbpfOptions = {
  ...defaultOptions,
  capacity: { frontends: 4096, endpoints: 16384, connections: 1024, clients: 1024 },
};
