import type { IpvsOptions } from "../../../backends/ipvs/options.ts";

/** The defaults. */
export const defaultOptions: IpvsOptions = {
  scheduler: "",
  excludeCidrs: [],
  strictArp: false,
  localFallback: false,
  tcpTimeoutMs: 0,
  tcpFinTimeoutMs: 0,
  udpTimeoutMs: 0,
};
