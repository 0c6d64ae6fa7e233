import type { Comparison } from "../../core/backend/contract.ts";
import { describeFrontend, type DesiredState, printedNameOf } from "../../core/plan/plan.ts";
import { namespaceCookie } from "../../ffi/system/network_namespaces.ts";
import { ChangeList } from "../change_list.ts";
import { flagsOf, hasSettings } from "./maps/node_settings.ts";
import type { EbpfOptions } from "./options.ts";
import { programsDetachedFrom } from "./programs/cgroup_links.ts";
import { openMaps } from "./programs/datapath.ts";
import type { Pins } from "./programs/pins.ts";
import { ServiceRanges } from "./services/service_ranges.ts";
import { Services } from "./services/services.ts";

/**
 * Describes what a reconcile would change in the pinned maps, and which programs it would attach to the cgroup. Whether
 * programs are attached to network devices is not compared.
 */
export function comparePinned(
  options: EbpfOptions,
  cgroup: string,
  pins: Pins,
  desired: DesiredState,
): Comparison {
  const changes = new ChangeList();
  for (const directory of pins.others()) changes.remove(() => `the maps and programs pinned in ${directory}`);
  if (!pins.exists) {
    describeFirst(cgroup, pins, desired, changes);
    return changes.comparison("nothing");
  }
  using stack = new DisposableStack();
  const maps = openMaps(pins, stack);
  // Allocation writes endpoints into free slots and takes ids, so it works on copies, which no program reads.
  const copies = { endpoints: copyOf(maps.endpoints), identity: copyOf(maps.identity) };
  new Services({ ...maps, ...copies }, options, () => {}).describeChanges(desired.plans.values(), changes);
  if (!hasSettings(maps, desired.settings, options.timeouts, namespaceCookie(), flagsOf(options))) {
    changes.change(() => "settings or addresses of the node");
  }
  if (!new ServiceRanges(maps.service_cidrs).isAsDesired(desired.settings, desired.plans.values())) {
    changes.change(() => "ranges of service addresses, or endpoints in them");
  }
  for (const program of programsDetachedFrom(cgroup, pins)) {
    changes.add(() => `program ${program} of cgroup ${cgroup}`);
  }
  return changes.comparison("ours");
}

function describeFirst(cgroup: string, pins: Pins, { plans }: DesiredState, changes: ChangeList): void {
  changes.add(() => `maps pinned in ${pins.directory}`);
  changes.add(() => `programs of cgroup ${cgroup} and of network devices`);
  for (const plan of plans.values()) {
    for (const frontend of plan.frontends) {
      changes.add(() => `${describeFrontend(frontend, plan.protocol)} of ${printedNameOf(plan.key)}`);
    }
  }
}

function copyOf({ buffer, byteOffset, byteLength }: DataView<ArrayBuffer>): DataView<ArrayBuffer> {
  return new DataView(buffer.slice(byteOffset, byteOffset + byteLength));
}
