import { parseArgs } from "node:util";
import { measureBackend } from "./backend/measure.ts";
import { backendFigures } from "./backend/figures.ts";
import type { ClusterSize } from "./cluster.ts";
import { ipvsadmFigures, measureIpvsadm } from "./backend/ipvsadm.ts";
import { measuredModes, modeOf } from "./mode.ts";
import { PlannedCluster } from "./planned_cluster.ts";
import { measureProcess } from "./process/measure.ts";
import { milliseconds, rows } from "./report.ts";

// Measures one mode. scripts/bench.sh runs it in a network namespace of its own.

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
// A change takes 100 ms in mode iptables at 10,000 services.
const changes = Number(values.changes ?? (mode === "iptables" ? 50 : 500));
/** The targets apply to this size only. */
const hasTargets = size.services === 10_000 && size.endpoints === 10;

console.log(
  `${size.services} services x ${size.endpoints} endpoints, mode ${mode}, IPv4, ${changes} changes\n`,
);
const startedAt = performance.now();
const options = {
  rounds: Number(values.rounds),
  changes,
  onStage: (stage: string) => console.error(`${milliseconds(performance.now() - startedAt)}: ${stage}`),
};
const times = await measureBackend(mode, size, options);
console.log(rows("The backend alone, in this process", backendFigures(mode, times), hasTargets));
if (mode === "ipvs") {
  const ipvsadm = await measureIpvsadm(new PlannedCluster(size), options);
  console.log(rows("Compared with ipvsadm", ipvsadmFigures(ipvsadm, times), hasTargets));
}
if (!values["backend-only"]) {
  const program = { mode, path: values.proxy };
  console.log(
    rows("proxy without services", await measureProcess(program, { services: 0, endpoints: 0 }, 0)),
  );
  const figures = await measureProcess(program, size, changes);
  console.log(rows("proxy with an API server on loopback", figures, hasTargets));
}
