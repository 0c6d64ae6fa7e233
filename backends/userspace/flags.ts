import { flag } from "../../core/config/flags/flag.ts";

/** The configuration file has no fields for these flags, so they count beside it. */
export const userspaceFlags = {
  "udp-timeout": flag(
    "duration",
    "250ms",
    "How long a UDP flow without datagrams is kept, as in kube-proxy until 1.25. More than 0.",
  ),
  "userspace-max-connections": flag(
    "int",
    100_000,
    "Maximum number of TCP connections at a time. Clients above it wait.",
  ),
  "userspace-max-udp-flows": flag(
    "int",
    10_000,
    "Maximum number of UDP flows at a time. Above it, the flow that has been idle for the longest time ends.",
  ),
  "userspace-rules": flag(
    "bool",
    true,
    "Lead connections to this process by rules in the kernel, which takes CAP_NET_ADMIN. With false, it listens for node " +
      "ports from 1024 on, and for the services of --userspace-loopback.",
  ),
  "userspace-loopback": flag(
    "string",
    "",
    "With --userspace-rules=false, serves each ClusterIP on a loopback address of this range, such as 127.64.0.0/16: its " +
      "last bits are those of the ClusterIP. Ports below 1024 take CAP_NET_BIND_SERVICE.",
  ),
  "userspace-hosts-file": flag(
    "string",
    "",
    "With --userspace-loopback, keeps this file in the format of hosts(5): a line with the loopback address and the names " +
      "of each Service that is served. It exists while the proxy runs.",
  ),
  "userspace-drain-timeout": flag(
    "duration",
    "8s",
    "How long connections may finish when the process ends. Less than the time after which the process is killed.",
  ),
};
