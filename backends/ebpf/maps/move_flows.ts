import { sameLayout } from "../../../ffi/bpf/btf.ts";
import { type DefinedMap, translation } from "./copy_entries.ts";
import { Entries, sameWords } from "./entries.ts";
import { OFFSET, SIZE, viewOf } from "./layout.ts";
import type { TranslateEntry } from "./translate.ts";

/**
 * Moves flows to a map that has copies of them, from the map of programs that leave packets without a flow to others.
 * Both entries of a flow move one right after the other.
 * @throws KernelError
 */
export function moveFlows(from: DefinedMap, to: DefinedMap, { servedBy, copiedNs }: Move): void {
  const translate = translation(from.definition, to.definition);
  if (translate === undefined) return;
  const hasSameKeys = sameLayout(from.definition.key!, to.definition.key!);
  if (copiedNs !== undefined && hasSameKeys) deleteCopiesOfNothing(from, to, copiedNs);
  const mover = new FlowMover(from, to, translate, servedBy);
  const { keySize } = from.definition;
  for (const { keys, count } of from.map.chunks(CHUNK)) {
    for (let index = 0; index < count; index++) {
      const otherDirection = mover.move(new Uint8Array(keys.buffer, index * keySize, keySize));
      if (otherDirection !== undefined && hasSameKeys) mover.move(otherDirection);
    }
  }
}

export interface Move {
  /** The programs that have served the flows since they were copied. */
  readonly servedBy: "old programs" | "both";
  /**
   * Time after the copy, of CLOCK_MONOTONIC. Copies that have seen no packet since, and whose original is gone, are
   * deleted. Undefined keeps them.
   */
  readonly copiedNs: bigint | undefined;
}

/** Entries that are read at once. */
const CHUNK = 4096;

class FlowMover {
  readonly #from: DefinedMap;
  readonly #to: DefinedMap;
  readonly #translate: TranslateEntry | "same";
  readonly #servedBy: Move["servedBy"];
  readonly #original: Uint8Array<ArrayBuffer>;
  readonly #copy: Uint8Array<ArrayBuffer>;

  constructor(
    from: DefinedMap,
    to: DefinedMap,
    translate: TranslateEntry | "same",
    servedBy: Move["servedBy"],
  ) {
    this.#from = from;
    this.#to = to;
    this.#translate = translate;
    this.#servedBy = servedBy;
    this.#original = new Uint8Array(from.definition.valueSize);
    this.#copy = new Uint8Array(to.definition.valueSize);
  }

  /** Moves an entry. @returns the key of the flow's other entry; undefined if the entry has gone or is not understood. */
  move(key: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> | undefined {
    if (!this.#from.map.take(key, this.#original)) return undefined;
    const moved = this.#translated(key);
    if (moved === undefined) return undefined;
    if (this.#isNews(moved)) {
      this.#to.map.update(moved.key, new Uint8Array(moved.flow.buffer, moved.flow.byteOffset, SIZE.flow));
    }
    return reversed(moved.flow, OFFSET.flow.translated);
  }

  /** Reports whether the copy is missing or has to change. What programs have seen of it is in the flow afterwards. */
  #isNews({ key, flow }: Moved): boolean {
    if (!this.#to.map.lookup(key, this.#copy)) return true;
    const copy = viewOf(this.#copy);
    // The copy has become another flow.
    if (flow.getBigUint64(OFFSET.flow.born, true) !== copy.getBigUint64(OFFSET.flow.born, true)) return false;
    if (this.#servedBy === "both") merge(flow, copy);
    return !sameWords(flow, 0, copy, 0, SIZE.flow);
  }

  #translated(key: Uint8Array<ArrayBuffer>): Moved | undefined {
    if (this.#translate === "same") return { key, flow: viewOf(this.#original) };
    const target = new Entries(SIZE.tuple, this.#copy.length, 1);
    target.add();
    const isUnderstood = this.#translate(
      { key: viewOf(key), keyOffset: 0, value: viewOf(this.#original), valueOffset: 0 },
      { key: target.keys, keyOffset: 0, value: target.values, valueOffset: 0 },
    );
    return isUnderstood ? { key: target.keyBytes, flow: target.values } : undefined;
  }
}

/** An entry in the layout of the copies. */
interface Moved {
  readonly key: Uint8Array<ArrayBuffer>;
  readonly flow: DataView<ArrayBuffer>;
}

/** Adds what a copy has seen of a flow. */
function merge(flow: DataView, copy: DataView): void {
  const { seen, state, end, acked } = OFFSET.flow;
  flow.setUint32(state, flow.getUint32(state, true) | copy.getUint32(state, true), true);
  for (const number of [end, acked]) {
    flow.setUint32(number, laterNumber(flow.getUint32(number, true), copy.getUint32(number, true)), true);
  }
  const seenByCopy = copy.getBigUint64(seen, true);
  if (seenByCopy > flow.getBigUint64(seen, true)) flow.setBigUint64(seen, seenByCopy, true);
}

/** Returns the later one of two sequence numbers of TCP, which wrap around. */
function laterNumber(a: number, b: number): number {
  return ((a - b) | 0) > 0 ? a : b;
}

/** Returns the tuple of packets in the other direction. */
function reversed(view: DataView<ArrayBuffer>, at: number): Uint8Array<ArrayBuffer> {
  const { source, destination, source_port, destination_port } = OFFSET.tuple;
  const tuple = new Uint8Array(view.buffer, view.byteOffset + at, SIZE.tuple);
  const result = tuple.slice();
  result.set(tuple.subarray(source, source + SIZE.address), destination);
  result.set(tuple.subarray(destination, destination + SIZE.address), source);
  result.set(tuple.subarray(source_port, source_port + 2), destination_port);
  result.set(tuple.subarray(destination_port, destination_port + 2), source_port);
  return result;
}

function deleteCopiesOfNothing(from: DefinedMap, to: DefinedMap, copiedNs: bigint): void {
  const original = new Uint8Array(from.definition.valueSize);
  const gone = new Entries(SIZE.tuple, 0);
  to.map.forEach((keys, keyOffset, values, valueOffset) => {
    if (values.getBigUint64(valueOffset + OFFSET.flow.seen, true) >= copiedNs) return;
    const added = gone.addKey(keys, keyOffset);
    if (from.map.lookup(gone.key(added), original)) gone.drop();
  });
  to.map.deleteAll(gone.keyBytes, gone.count);
}
