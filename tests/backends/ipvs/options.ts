import type { IpvsOptions } from "../../../backends/ipvs/options.ts";

/** What holds when nothing is chosen. */
export const defaultOptions: IpvsOptions = {
  scheduler: "",
  excludeCidrs: [],
  strictArp: false,
  localFallback: false,
  tcpTimeoutMs: 0,
  tcpFinTimeoutMs: 0,
  udpTimeoutMs: 0,
};
