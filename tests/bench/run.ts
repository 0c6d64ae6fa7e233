import { parseArgs } from "node:util";
import { measureBackend } from "./backend.ts";
import { backendFigures } from "./backend_figures.ts";
import type { ClusterSize } from "./cluster.ts";
import { ipvsadmFigures, measureIpvsadm } from "./ipvsadm.ts";
import { measuredModes, modeOf } from "./mode.ts";
import { PlannedCluster } from "./planned_cluster.ts";
import { measureProcess } from "./process.ts";
import { milliseconds, rows } from "./report.ts";

// Run by scripts/bench.sh in a network namespace of its own.

const { values } = parseArgs({
  options: {
    mode: { type: "string", default: "nftables" },
    services: { type: "string", default: "10000" },
    endpoints: { type: "string", default: "10" },
    rounds: { type: "string", default: "5" },
    changes: { type: "string" },
    "backend-only": { type: "boolean", default: false },
    proxy: { type: "string", default: "" },
  },
});
const mode = modeOf(values.mode, measuredModes);
const size: ClusterSize = { services: Number(values.services), endpoints: Number(values.endpoints) };
// A change costs mode iptables 100 ms at 10,000 services.
const changes = Number(values.changes ?? (mode === "iptables" ? 50 : 500));
/** The bars are set for this size. */
const isRated = size.services === 10_000 && size.endpoints === 10;

console.log(
  `${size.services} services x ${size.endpoints} endpoints, mode ${mode}, IPv4, ${changes} changes\n`,
);
const began = performance.now();
const effort = {
  rounds: Number(values.rounds),
  changes,
  begin: (stage: string) => console.error(`${milliseconds(performance.now() - began)}: ${stage}`),
};
const times = await measureBackend(mode, size, effort);
console.log(rows("The backend alone, in this process", backendFigures(mode, times), isRated));
if (mode === "ipvs") {
  const ipvsadm = await measureIpvsadm(new PlannedCluster(size), effort);
  console.log(rows("Beside ipvsadm", ipvsadmFigures(ipvsadm, times), isRated));
}
if (!values["backend-only"]) {
  const subject = { mode, program: values.proxy };
  console.log(
    rows("proxy with nothing to do", await measureProcess(subject, { services: 0, endpoints: 0 }, 0)),
  );
  const figures = await measureProcess(subject, size, changes);
  console.log(rows("proxy fed by an API server on loopback", figures, isRated));
}
