import type { FlagReader } from "../../core/backend/mode.ts";
import type { ConfigDocument } from "../../core/config/document/document.ts";
import { flag } from "../../core/config/flags/flag.ts";

/** Schedulers of Linux 6.12, for advice. A kernel may have more or fewer. */
export const KNOWN_SCHEDULERS = [
  "rr",
  "wrr",
  "lc",
  "wlc",
  "lblc",
  "lblcr",
  "dh",
  "sh",
  "mh",
  "sed",
  "nq",
  "fo",
  "ovf",
  "twos",
] as const;

export const ipvsFlags = {
  "ipvs-scheduler": flag("string", "", "Scheduler that balances connections. Default: rr.", {
    fields: ["ipvs.scheduler"],
    offers: KNOWN_SCHEDULERS,
  }),
  "ipvs-sync-period": flag("duration", "30s", "As --iptables-sync-period.", { fields: ["ipvs.syncPeriod"] }),
  "ipvs-min-sync-period": flag("duration", "0s", "As --iptables-min-sync-period.", {
    fields: ["ipvs.minSyncPeriod"],
  }),
  "ipvs-exclude-cidrs": flag(
    "list",
    [],
    "Address ranges whose virtual servers belong to other programs and are not removed.",
    { fields: ["ipvs.excludeCIDRs"] },
  ),
  "ipvs-strict-arp": flag("bool", false, "Set arp_ignore to 1 and arp_announce to 2.", {
    fields: ["ipvs.strictARP"],
  }),
  "ipvs-tcp-timeout": flag(
    "duration",
    "0s",
    "How long an idle TCP connection is kept; 0 keeps the kernel's value.",
    { fields: ["ipvs.tcpTimeout"] },
  ),
  "ipvs-tcpfin-timeout": flag(
    "duration",
    "0s",
    "How long a TCP connection is kept after a FIN; 0 keeps the kernel's value.",
    { fields: ["ipvs.tcpFinTimeout"] },
  ),
  "ipvs-udp-timeout": flag(
    "duration",
    "0s",
    "How long an idle UDP flow is kept; 0 keeps the kernel's value.",
    {
      fields: ["ipvs.udpTimeout"],
    },
  ),
  "ipvs-local-fallback": flag(
    "bool",
    false,
    "When a Local traffic policy finds no endpoint on this node, use the endpoints of other nodes, as kube-proxy " +
      "does in this mode, instead of dropping, as it does in the other modes. (Not in kube-proxy.)",
    { fields: ["ipvs.localFallback"] },
  ),
};

/** Fills the section `ipvs` from the flags. */
export function addIpvsFlags(document: ConfigDocument, valuesOf: FlagReader): ConfigDocument {
  const values = valuesOf(ipvsFlags);
  return {
    ...document,
    ipvs: {
      syncPeriod: values["ipvs-sync-period"],
      minSyncPeriod: values["ipvs-min-sync-period"],
      scheduler: values["ipvs-scheduler"],
      excludeCIDRs: values["ipvs-exclude-cidrs"],
      strictARP: values["ipvs-strict-arp"],
      tcpTimeout: values["ipvs-tcp-timeout"],
      tcpFinTimeout: values["ipvs-tcpfin-timeout"],
      udpTimeout: values["ipvs-udp-timeout"],
      localFallback: values["ipvs-local-fallback"],
    },
  };
}
