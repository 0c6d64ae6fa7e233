import { DEFAULT_WEIGHT } from "../../../core/objects/objects.ts";
import type { Endpoint } from "../../../core/plan/plan.ts";

/**
 * Builds a Maglev table (Eisenbud et al., NSDI 2016, §3.4). Each endpoint has its own order of slots, and the
 * endpoints take free slots in turns. So all get nearly their share, and few slots change hands when an
 * endpoint goes. The table is the same on every node, whatever the order of the endpoints.
 * @param endpoints with weights above 0. The heaviest takes a slot in every turn, each other one in a
 * fraction of the turns, its weight divided by the heaviest one, but always in the first turn.
 * @param size a prime, at least the number of endpoints.
 */
export function maglevTable(endpoints: readonly Endpoint[], size: number): readonly Endpoint[] {
  if (endpoints.length === 0) return [];
  const heaviest = endpoints.reduce((max, endpoint) => Math.max(max, weightOf(endpoint)), 0);
  const preferences = endpoints.map((endpoint) => {
    const name = `${endpoint.address}${String.fromCharCode(endpoint.port)}`;
    return {
      endpoint,
      next: hash(name, OFFSET_SEED) % size,
      skip: hash(name, SKIP_SEED) % (size - 1) + 1,
      credit: heaviest,
    };
  });
  // The order of turns must not depend on the order in which the API server lists the endpoints.
  preferences.sort((a, b) => a.next - b.next || a.skip - b.skip);
  const table = new Array<Endpoint | undefined>(size);
  for (let taken = 0;;) {
    for (const preference of preferences) {
      preference.credit += weightOf(preference.endpoint);
      if (preference.credit <= heaviest) continue;
      preference.credit -= heaviest;
      while (table[preference.next] !== undefined) {
        preference.next = (preference.next + preference.skip) % size;
      }
      table[preference.next] = preference.endpoint;
      if (++taken === size) return table.filter((slot) => slot !== undefined);
    }
  }
}

function weightOf({ weight = DEFAULT_WEIGHT }: Endpoint): number {
  return weight;
}

const OFFSET_SEED = 0x811c9dc5;
const SKIP_SEED = 0x9747b28c;

/** FNV-1a with the finaliser of MurmurHash3, for names of a few bytes that differ only in the last one. */
function hash(name: string, seed: number): number {
  let value = seed;
  for (let index = 0; index < name.length; index++) {
    value = Math.imul(value ^ name.charCodeAt(index), 0x01000193);
  }
  value = Math.imul(value ^ value >>> 16, 0x85ebca6b);
  value = Math.imul(value ^ value >>> 13, 0xc2b2ae35);
  return (value ^ value >>> 16) >>> 0;
}
