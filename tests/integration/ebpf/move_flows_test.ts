import assert from "node:assert/strict";
import { copyEntries, type DefinedMap } from "../../../backends/ebpf/maps/copy_entries.ts";
import { FLOW_STATE, OFFSET, SIZE, viewOf } from "../../../backends/ebpf/maps/layout.ts";
import { type Move, moveFlows } from "../../../backends/ebpf/maps/move_flows.ts";
import { openObject } from "../../../backends/ebpf/programs/objects.ts";

const { ANSWERED, ASSURED, CLIENT_FINISHED, ENDPOINT_FINISHED } = FLOW_STATE;
const ESTABLISHED = ANSWERED | ASSURED;
/** Time after the first copy. */
const COPIED = 100n;

/** Members of a flow that the test is about. */
interface Flow {
  readonly born: bigint;
  readonly seen: bigint;
  readonly state: number;
  readonly end: number;
  readonly acked: number;
  readonly generation: number;
}

const loadsLibraries = { sanitizeResources: false };

const FLOW: Flow = { born: 7n, seen: 50n, state: ESTABLISHED, end: 1000, acked: 2000, generation: 3 };

Deno.test(
  "a flow that other programs have served since the copy moves with what they have seen of it",
  loadsLibraries,
  () => {
    const maps = new TwoMaps();
    const changed: Readonly<Record<string, readonly [original: Partial<Flow>, copy: Partial<Flow>]>> = {
      "nothing happens": [{}, {}],
      "it goes on and ends": [
        { seen: 90n, end: 9_000_000, acked: 2001, state: ESTABLISHED | CLIENT_FINISHED | ENDPOINT_FINISHED },
        { seen: 90n, end: 9_000_000, acked: 2001, state: ESTABLISHED | CLIENT_FINISHED | ENDPOINT_FINISHED },
      ],
      "a FIN turns out to be of another connection": [{ state: ESTABLISHED, end: 4 }, {
        state: ESTABLISHED,
        end: 4,
      }],
      "its entry has become another flow": [{ born: 60n, end: 4 }, {}],
    };
    for (const name of Object.keys(changed)) {
      maps.begin(name, name.includes("FIN") ? { state: ESTABLISHED | CLIENT_FINISHED } : {});
    }
    maps.copy();
    for (const [name, [original]] of Object.entries(changed)) maps.change("original", name, original);
    maps.move();
    assert.deepEqual(maps.names("original"), []);
    for (const [name, [, copy]] of Object.entries(changed)) {
      assert.deepEqual(maps.read("copy", name), { ...FLOW, ...copy }, name);
    }
  },
);

Deno.test("what both programs have seen of a flow counts, if both have served it", loadsLibraries, () => {
  const maps = new TwoMaps();
  maps.begin("both", {});
  maps.copy();
  maps.change("original", "both", { seen: 90n, end: 1500, state: ESTABLISHED | CLIENT_FINISHED });
  const known = { seen: 120n, end: 1501, acked: 2500, state: ESTABLISHED | ENDPOINT_FINISHED };
  maps.change("copy", "both", known);
  maps.move("both");
  const state = ESTABLISHED | CLIENT_FINISHED | ENDPOINT_FINISHED;
  assert.deepEqual(maps.read("copy", "both"), { ...FLOW, ...known, state });
});

Deno.test(
  "flows that began or ended since the copy exist or not, and those of the new programs stay",
  loadsLibraries,
  () => {
    const maps = new TwoMaps();
    for (const name of ["stays", "is deleted", "is deleted, but seen since"]) maps.begin(name, {});
    maps.copy();
    maps.begin("began late", { born: 90n });
    for (const name of ["is deleted", "is deleted, but seen since"]) maps.end(name);
    maps.change("copy", "is deleted, but seen since", { seen: COPIED });
    maps.change("copy", "of the new programs", { ...FLOW, born: 110n, seen: 110n });
    maps.move();
    assert.deepEqual(maps.names("copy"), [
      "began late",
      "is deleted, but seen since",
      "of the new programs",
      "stays",
    ]);
  },
);

/** A map of flows, and its copy. */
class TwoMaps {
  readonly #maps = { original: conntrack(), copy: conntrack() };

  begin(name: string, flow: Partial<Flow>): void {
    this.change("original", name, { ...FLOW, ...flow });
  }

  copy(): void {
    copyEntries(this.#maps.original, this.#maps.copy, "all");
  }

  end(name: string): void {
    assert(this.#maps.original.map.delete(keyOf(name)));
  }

  move(servedBy: Move["servedBy"] = "old programs"): void {
    moveFlows(this.#maps.original, this.#maps.copy, { servedBy, copiedNs: COPIED });
  }

  change(which: "original" | "copy", name: string, { born, seen, ...numbers }: Partial<Flow>): void {
    const { map } = this.#maps[which];
    const value = new Uint8Array(SIZE.flow);
    map.lookup(keyOf(name), value);
    const view = viewOf(value);
    if (born !== undefined) view.setBigUint64(OFFSET.flow.born, born, true);
    if (seen !== undefined) view.setBigUint64(OFFSET.flow.seen, seen, true);
    for (const [member, number] of Object.entries(numbers)) {
      view.setUint32(OFFSET.flow[member as keyof typeof numbers], number, true);
    }
    map.update(keyOf(name), value);
  }

  read(which: "original" | "copy", name: string): Flow {
    const value = new Uint8Array(SIZE.flow);
    assert(this.#maps[which].map.lookup(keyOf(name), value), name);
    const view = viewOf(value);
    const number = (at: number) => view.getUint32(at, true);
    const { born, seen, state, end, acked, generation } = OFFSET.flow;
    return {
      born: view.getBigUint64(born, true),
      seen: view.getBigUint64(seen, true),
      state: number(state),
      end: number(end),
      acked: number(acked),
      generation: number(generation),
    };
  }

  names(which: "original" | "copy"): readonly string[] {
    const names: string[] = [];
    this.#maps[which].map.forEach((keys, key) => {
      names.push(new TextDecoder().decode(new Uint8Array(keys.buffer, key, SIZE.tuple)).replace(/\0+$/, ""));
    });
    return names.sort();
  }
}

/** The name in place of a tuple. */
function keyOf(name: string): Uint8Array<ArrayBuffer> {
  const key = new Uint8Array(SIZE.tuple);
  new TextEncoder().encodeInto(name, key);
  return key;
}

function conntrack(): DefinedMap {
  const object = openObject("tc");
  for (const name of object.mapNames) object.setMaxEntries(name, Math.min(object.maxEntries(name), 64));
  object.setMaxEntries("conntrack", 1024);
  object.load();
  return { map: object.map("conntrack"), definition: object.definition("conntrack") };
}
