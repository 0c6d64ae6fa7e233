import type { Address } from "../../../core/net/address.ts";
import { describeFrontend, printedNameOf } from "../../../core/plan/plan.ts";
import { Entries, sameWords } from "../maps/entries.ts";
import type { KernelMaps } from "../maps/kernel_maps.ts";
import { OFFSET, readAddress, SIZE, viewOf, writeRange } from "../maps/layout.ts";
import type { Allocations } from "./allocation.ts";
import { type BalancingOptions, blockOf, type PlacedPlan, serviceEntry } from "./compile.ts";
import { describeKey } from "./describe_key.ts";
import { addCatchAll, addFrontend, writeKey, writeValue } from "./frontend_entries.ts";

/** Entries that are read at once. They are compared before anything else runs, so no change can come in between. */
const CHUNK = 256;

/** The plans in force, and the maps that should contain them. */
export interface Programmed {
  readonly maps: KernelMaps;
  readonly options: BalancingOptions;
  readonly allocations: Allocations;
  /** Reports whether an address has an entry for unused ports. */
  readonly isClusterIP: (address: Address) => boolean;
}

/**
 * Compares the maps with what was programmed, a little at a time: services, their endpoints and source ranges, and
 * entries that nobody programmed. What is programmed may change between two steps.
 * @returns for each step a description of what another program changed, or undefined.
 */
export function* verify(programmed: Programmed): Generator<string | undefined> {
  for (const placed of programmed.allocations.placed()) yield describeWrong(programmed, placed);
  yield* describeExtra(programmed);
}

/** Describes what is wrong with a service port in the maps; undefined if nothing is. */
function describeWrong({ maps, options, allocations }: Programmed, placed: PlacedPlan): string | undefined {
  const { plan, allocation } = placed;
  const name = printedNameOf(plan.key);
  if (!allocations.hasEndpoints(placed)) return `endpoints of ${name} were changed`;
  const block = blockOf(plan, options, allocation.tables);
  const entries = new Entries(SIZE.frontend, SIZE.service);
  for (const frontend of plan.frontends) {
    const index = addFrontend(entries, { frontend, plan });
    writeValue(entries, index, serviceEntry(plan, frontend, block, allocation, options));
    const wrong = describeEntry(maps, entries, index);
    if (wrong !== undefined) {
      return `${describeFrontend(frontend, plan.protocol)} of ${name} ${wrong}`;
    }
    if (frontend.kind !== "ClusterIP") continue;
    const wrongCatchAll = describeEntry(maps, entries, addCatchAll(entries, frontend.address));
    if (wrongCatchAll !== undefined) {
      return `the entry for unused ports of the address of ${name} ${wrongCatchAll}`;
    }
  }
  for (const cidr of plan.sourceRanges ?? []) {
    writeRange(viewOf(rangeKey), 0, allocation.id, cidr);
    if (!maps.source_ranges.lookup(rangeKey, rangeValue)) return `source ranges of ${name} were removed`;
  }
  return undefined;
}

const rangeKey = new Uint8Array(SIZE.range);
const rangeValue = new Uint8Array(4);
const found = new Uint8Array(SIZE.service);

function describeEntry({ services }: KernelMaps, entries: Entries, index: number): string | undefined {
  if (!services.lookup(entries.key(index), found)) return "was removed";
  const isSame = sameWords(entries.values, index * SIZE.service, viewOf(found), 0, SIZE.service);
  return isSame ? undefined : "was changed";
}

/** Describes entries of frontends that no service port has. */
function* describeExtra(programmed: Programmed): Generator<string | undefined> {
  for (const { keys, values, count } of programmed.maps.services.chunks(CHUNK)) {
    let extra: string | undefined;
    for (let index = 0; index < count; index++) {
      const id = values.getUint32(index * SIZE.service + OFFSET.service.id, true);
      if (isProgrammed(programmed, id, keys, index * SIZE.frontend)) continue;
      extra ??= `${describeKey(keys, index * SIZE.frontend)} was added`;
    }
    yield extra;
  }
}

/** Reports whether the service port with the id has the frontend at `offset`. */
function isProgrammed(
  { allocations, isClusterIP }: Programmed,
  id: number,
  keys: DataView<ArrayBuffer>,
  offset: number,
): boolean {
  // The entry for unused ports of a ClusterIP.
  if (id === 0) {
    return keys.getUint16(offset + OFFSET.frontend.port) === 0 && isClusterIP(readAddress(keys, offset));
  }
  const plan = allocations.planOf(id);
  return plan?.frontends.some((frontend) => {
    writeKey(scratchKey, 0, { frontend, plan });
    return sameWords(scratchKey, 0, keys, offset, SIZE.frontend);
  }) ?? false;
}

const scratchKey = new DataView(new ArrayBuffer(SIZE.frontend));
