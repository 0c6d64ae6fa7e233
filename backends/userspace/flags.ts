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
  "userspace-drain-timeout": flag(
    "duration",
    "8s",
    "How long connections may finish when the process ends. Less than the time after which the process is killed.",
  ),
};
