import { DEFAULT_WEIGHT } from "../../../core/objects/objects.ts";
import type { Endpoint } from "../../../core/plan/plan.ts";

/**
 * A Maglev table (Eisenbud et al., NSDI 2016, §3.4): every endpoint takes slots in an order of its own, in turns, so
 * that all have nearly their share, and few slots change hands when one goes. The same on every node, whatever the
 * order of the endpoints.
 * @param endpoints whose weights are above 0. The heaviest takes a slot in each turn, the others in as many turns as
 * they weigh beside it, all in the first one.
 * @param size a prime, no less than the number of endpoints.
 */
export function maglevTable(endpoints: readonly Endpoint[], size: number): readonly Endpoint[] {
  if (endpoints.length === 0) return [];
  const heaviest = endpoints.reduce((most, endpoint) => Math.max(most, weightOf(endpoint)), 0);
  const preferences = endpoints.map((endpoint) => {
    const name = `${endpoint.address}${String.fromCharCode(endpoint.port)}`;
    return {
      endpoint,
      next: hash(name, OFFSET_SEED) % size,
      skip: hash(name, SKIP_SEED) % (size - 1) + 1,
      credit: heaviest,
    };
  });
  // Who comes first has the first choice: that must not depend on who told us.
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

/** FNV-1a with the finaliser of MurmurHash3, for names of a few bytes that differ in the last one only. */
function hash(name: string, seed: number): number {
  let value = seed;
  for (let index = 0; index < name.length; index++) {
    value = Math.imul(value ^ name.charCodeAt(index), 0x01000193);
  }
  value = Math.imul(value ^ value >>> 16, 0x85ebca6b);
  value = Math.imul(value ^ value >>> 13, 0xc2b2ae35);
  return (value ^ value >>> 16) >>> 0;
}
