import { parseArgs } from "node:util";
import type { ClusterSize } from "./cluster.ts";
import { measureBackend } from "./backend.ts";
import { measureProcess } from "./process.ts";
import { rows } from "./report.ts";

const { values } = parseArgs({
  options: {
    services: { type: "string", default: "10000" },
    endpoints: { type: "string", default: "10" },
    changes: { type: "string", default: "500" },
  },
});
const size: ClusterSize = { services: Number(values.services), endpoints: Number(values.endpoints) };
const changes = Number(values.changes);

/** The bars are set for this size. */
const isRated = size.services === 10_000 && size.endpoints === 10;

console.log(
  `${size.services} services x ${size.endpoints} endpoints, mode nftables, IPv4, ${changes} changes\n`,
);
console.log(rows("The backend alone, in this process", await measureBackend(size, changes), isRated));
console.log(rows("dist/proxy with nothing to do", await measureProcess({ services: 0, endpoints: 0 }, 0)));
console.log(
  rows("dist/proxy fed by an API server on loopback", await measureProcess(size, changes), isRated),
);
