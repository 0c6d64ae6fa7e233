import { sameLayout } from "../../../ffi/bpf/btf.ts";
import { type DefinedMap, translation } from "./copy_entries.ts";
import { Entries } from "./entries.ts";
import { OFFSET, SIZE, viewOf } from "./layout.ts";
import type { TranslateEntry } from "./translate.ts";

/**
 * Moves flows to a map that has copies of them, from the map of programs that have served them since, and leave packets
 * without a flow to the others. Both entries of a flow move one right after the other. What both programs have seen of a
 * flow counts.
 * @param copiedNs time after the copy, of CLOCK_MONOTONIC. Copies that have seen no packet since, and whose original is
 * gone, are deleted. Undefined keeps them.
 * @throws KernelError
 */
export function moveFlows(from: DefinedMap, to: DefinedMap, copiedNs: bigint | undefined): void {
  const translate = translation(from.definition, to.definition);
  if (translate === undefined) return;
  const hasSameKeys = sameLayout(from.definition.key!, to.definition.key!);
  if (copiedNs !== undefined && hasSameKeys) deleteCopiesOfNothing(from, to, copiedNs);
  const mover = new FlowMover(from, to, translate);
  const { keySize } = from.definition;
  for (const { keys, count } of from.map.chunks(CHUNK)) {
    for (let index = 0; index < count; index++) {
      const otherDirection = mover.move(new Uint8Array(keys.buffer, index * keySize, keySize));
      if (otherDirection !== undefined && hasSameKeys) mover.move(otherDirection);
    }
  }
}

/** Entries that are read at once. */
const CHUNK = 4096;

class FlowMover {
  readonly #from: DefinedMap;
  readonly #to: DefinedMap;
  readonly #translate: TranslateEntry | "same";
  readonly #original: Uint8Array<ArrayBuffer>;
  readonly #copy: Uint8Array<ArrayBuffer>;

  constructor(from: DefinedMap, to: DefinedMap, translate: TranslateEntry | "same") {
    this.#from = from;
    this.#to = to;
    this.#translate = translate;
    this.#original = new Uint8Array(from.definition.valueSize);
    this.#copy = new Uint8Array(to.definition.valueSize);
  }

  /** Moves an entry. @returns the key of the flow's other entry; undefined if the entry has gone or is not understood. */
  move(key: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> | undefined {
    if (!this.#from.map.take(key, this.#original)) return undefined;
    const moved = this.#translated(key);
    if (moved === undefined) return undefined;
    const isCopied = this.#to.map.lookup(moved.key, this.#copy);
    if (!isCopied || merge(moved.flow, viewOf(this.#copy))) {
      this.#to.map.update(moved.key, new Uint8Array(moved.flow.buffer, moved.flow.byteOffset, SIZE.flow));
    }
    return reversed(moved.flow, OFFSET.flow.translated);
  }

  #translated(key: Uint8Array<ArrayBuffer>) {
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

/**
 * Merges a copy into its original.
 * @returns false if the copy needs no change, or has become another flow.
 */
function merge(original: DataView, copy: DataView): boolean {
  const { born, seen, state, end, acked, generation, device } = OFFSET.flow;
  if (original.getBigUint64(born, true) !== copy.getBigUint64(born, true)) return false;
  // The programs of this version know these better.
  for (const known of [generation, device]) original.setUint32(known, copy.getUint32(known, true), true);
  original.setUint32(state, original.getUint32(state, true) | copy.getUint32(state, true), true);
  for (const number of [end, acked]) {
    const later = laterNumber(original.getUint32(number, true), copy.getUint32(number, true));
    original.setUint32(number, later, true);
  }
  const [last, lastOfCopy] = [original.getBigUint64(seen, true), copy.getBigUint64(seen, true)];
  if (lastOfCopy > last) original.setBigUint64(seen, lastOfCopy, true);
  return last > lastOfCopy ||
    [state, end, acked].some((member) => original.getUint32(member, true) !== copy.getUint32(member, true));
}

/** Returns the later one of two sequence numbers of TCP, which wrap around. */
function laterNumber(a: number, b: number): number {
  return ((a - b) | 0) > 0 ? a : b;
}

/** Returns the tuple of packets in the other direction. */
function reversed(view: DataView, at: number): Uint8Array<ArrayBuffer> {
  const { source, destination, source_port, destination_port } = OFFSET.tuple;
  const tuple = new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset + at, SIZE.tuple);
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
