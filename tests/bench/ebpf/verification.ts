import assert from "node:assert/strict";
import process from "node:process";
import { parseArgs } from "node:util";
import { openKernelMaps } from "../../../backends/ebpf/maps/kernel_maps.ts";
import { openObject } from "../../../backends/ebpf/programs/objects.ts";
import { Services } from "../../../backends/ebpf/services/services.ts";
import { PlannedCluster } from "../planned_cluster.ts";
import { milliseconds } from "../report.ts";

// Measures how long it takes to compare all maps of services with what is in force.
//   deno run -A tests/bench/ebpf/verification.ts [--services N] [--endpoints N]

const { values } = parseArgs({
  options: {
    services: { type: "string", default: "30000" },
    endpoints: { type: "string", default: "10" },
  },
});
const size = { services: Number(values.services), endpoints: Number(values.endpoints) };

using object = openObject("sock");
object.load();
const maps = openKernelMaps((name) => object.map(name), new DisposableStack());
const services = new Services(maps, { balancing: "random", maglevTableSize: 1021 }, () => {});
services.reconcile(new PlannedCluster(size, true).desired.plans.values());
for (let round = 0; round < 5; round++) {
  const before = process.cpuUsage();
  for (const found of services.verification()) assert.equal(found, undefined);
  const { user, system } = process.cpuUsage(before);
  console.log(
    `a round through ${size.services} services x ${size.endpoints}: CPU ${milliseconds(user / 1000)} user, ` +
      `${milliseconds(system / 1000)} system`,
  );
}
