import { errnoOf } from "../errno.ts";
import { KernelError } from "../errors.ts";
import { libbpf } from "../libraries/libbpf.ts";
import { libc, MAP_SHARED, PROT_READ, PROT_WRITE } from "../libraries/libc.ts";
import { cString, stringIn } from "../memory.ts";
import { readBtf, type TypeLayout } from "./btf.ts";

export interface MapShape {
  readonly keySize: number;
  /** Bytes of one value; in a per-CPU map, bytes of the value of one CPU. */
  readonly valueSize: number;
  readonly maxEntries: number;
}

/** Entries, the keys and the values one after the other. */
export interface EntryChunk {
  readonly keys: DataView<ArrayBuffer>;
  readonly values: DataView<ArrayBuffer>;
  readonly count: number;
}

const BPF_ANY = 0n; // linux/bpf.h
const E2BIG = errnoOf("E2BIG");
const ENOENT = errnoOf("ENOENT");
const ENOSPC = errnoOf("ENOSPC");

/** struct bpf_map_batch_opts { size_t sz; __u64 elem_flags, flags; } without flags. bpf/bpf.h */
const NO_BATCH_OPTIONS = new BigUint64Array([24n, 0n, 0n]);

/** A map with the types of its entries. A type is undefined if it is not known. */
export interface MapDefinition extends MapShape {
  /** enum bpf_map_type, linux/bpf.h */
  readonly type: number;
  readonly flags: number;
  readonly key: TypeLayout | undefined;
  readonly value: TypeLayout | undefined;
}

/**
 * struct bpf_map_info, linux/bpf.h: u32 type, id, key_size, value_size, max_entries, map_flags; char name[16]; u32
 * ifindex, btf_vmlinux_value_type_id; u64 netns_dev, netns_ino; u32 btf_id, btf_key_type_id, btf_value_type_id.
 */
const INFO = { bytes: 80, name: 24, btf: 64 };

/**
 * Our handle of a map. Keys and values are bytes in the layout of the map, those of a batch one after the other. A whole
 * map is read or written with a few calls into C.
 */
export class BpfMap implements Disposable {
  constructor(readonly name: string, readonly fd: number, readonly shape: MapShape) {}

  /** Opens the map pinned at `path`; undefined if there is none. */
  static pinned(name: string, path: string): BpfMap | undefined {
    const fd = libbpf().bpf_obj_get(cString(path));
    if (fd === -ENOENT) return undefined;
    if (fd < 0) throw new KernelError(`open BPF map ${path}`, -fd);
    return new BpfMap(name, fd, readInfo(fd, path).shape);
  }

  /** Opens a map by the kernel's number for it; undefined if it is gone. Takes CAP_SYS_ADMIN. */
  static byId(id: number): BpfMap | undefined {
    const fd = libbpf().bpf_map_get_fd_by_id(id);
    if (fd < 0) return undefined;
    const { name, shape } = readInfo(fd, `${id}`);
    return new BpfMap(name, fd, shape);
  }

  /** The kernel's id of the map. */
  get id(): number {
    return this.#info()[1] ?? 0;
  }

  /**
   * Reads the definition from the kernel.
   * @throws KernelError with EPERM if the types may not be read (CAP_SYS_ADMIN).
   */
  definition(): MapDefinition {
    const [btfId = 0, keyType = 0, valueType = 0] = this.#info().subarray(INFO.btf / 4);
    const btf = btfId === 0 ? undefined : readBtf(btfId);
    return { ...this.definitionWithoutTypes(), key: btf?.layout(keyType), value: btf?.layout(valueType) };
  }

  /** Reads the definition without the types, which takes no privilege. */
  definitionWithoutTypes(): MapDefinition {
    const [type = 0, , , , , flags = 0] = this.#info();
    return { ...this.shape, type, flags, key: undefined, value: undefined };
  }

  /** Pins the map. @throws KernelError */
  pin(path: string): void {
    const result = libbpf().bpf_obj_pin(this.fd, cString(path));
    if (result < 0) throw new KernelError(`pin BPF map ${this.name} at ${path}`, -result);
  }

  /** Removes a value of a queue. Returns undefined if the queue is empty. */
  pop(): Uint8Array<ArrayBuffer> | undefined {
    const value = new Uint8Array(this.shape.valueSize);
    return this.#found(libbpf().bpf_map_lookup_and_delete_elem(this.fd, null, value)) ? value : undefined;
  }

  /** Adds a value to a queue. Returns false if the queue is full. */
  push(value: Uint8Array<ArrayBuffer>): boolean {
    const result = libbpf().bpf_map_update_elem(this.fd, null, value, BPF_ANY);
    if (result === -E2BIG) return false;
    this.#check("write", result);
    return true;
  }

  /** Adds an entry or replaces its value, in a hash map atomically. */
  update(key: Uint8Array<ArrayBuffer>, value: Uint8Array<ArrayBuffer>): void {
    this.#check("write", libbpf().bpf_map_update_elem(this.fd, key, value, BPF_ANY));
  }

  /**
   * Reads the value of an entry into `value`.
   * @returns false if there is no such entry.
   */
  lookup(key: Uint8Array<ArrayBuffer>, value: Uint8Array<ArrayBuffer>): boolean {
    return this.#found(libbpf().bpf_map_lookup_elem(this.fd, key, value));
  }

  /**
   * Reads the value of an entry of a hash map into `value`, and deletes it, so that no change is lost in between.
   * @returns false if there is no such entry.
   */
  take(key: Uint8Array<ArrayBuffer>, value: Uint8Array<ArrayBuffer>): boolean {
    return this.#found(libbpf().bpf_map_lookup_and_delete_elem(this.fd, key, value));
  }

  /**
   * Deletes an entry.
   * @returns false if there was no such entry.
   */
  delete(key: Uint8Array<ArrayBuffer>): boolean {
    return this.#found(libbpf().bpf_map_delete_elem(this.fd, key));
  }

  /** Adds or replaces `count` entries. */
  updateAll(keys: Uint8Array<ArrayBuffer>, values: Uint8Array<ArrayBuffer>, count: number): void {
    if (count === 0) return;
    const done = new Uint32Array([count]);
    this.#check("write", libbpf().bpf_map_update_batch(this.fd, keys, values, done, NO_BATCH_OPTIONS));
  }

  /** Deletes `count` entries. Missing entries are no error. */
  deleteAll(keys: Uint8Array<ArrayBuffer>, count: number): void {
    const { keySize } = this.shape;
    for (let deleted = 0; deleted < count;) {
      const done = new Uint32Array([count - deleted]);
      const result = libbpf().bpf_map_delete_batch(
        this.fd,
        keys.subarray(deleted * keySize, count * keySize),
        done,
        NO_BATCH_OPTIONS,
      );
      if (result !== -ENOENT) this.#check("delete entries of", result);
      // The batch ends at the first missing entry.
      deleted += (done[0] ?? 0) + (result === -ENOENT ? 1 : 0);
    }
  }

  /**
   * Calls `each` for every entry, in no particular order. Entries that change meanwhile may be missing or come twice.
   * @param each gets the offsets of an entry in the two buffers.
   * @param valueSize bytes of a value as the kernel returns it: in a per-CPU map, the values of all CPUs.
   */
  forEach(
    each: (
      keys: DataView<ArrayBuffer>,
      keyOffset: number,
      values: DataView<ArrayBuffer>,
      valueOffset: number,
    ) => void,
    valueSize = this.shape.valueSize,
  ): void {
    const { keySize } = this.shape;
    for (const { keys, values, count } of this.chunks(4096, valueSize)) {
      for (let index = 0; index < count; index++) each(keys, index * keySize, values, index * valueSize);
    }
  }

  /**
   * Reads all entries, some at a time. Between two chunks the map may change, as during `forEach`.
   * @param capacity entries of a chunk. A chunk is larger if one bucket of the hash table is.
   */
  *chunks(capacity: number, valueSize = this.shape.valueSize): Generator<EntryChunk> {
    const { keySize } = this.shape;
    let before: Uint8Array<ArrayBuffer> | null = null;
    for (;;) {
      const keys = new Uint8Array(capacity * keySize);
      const values = new Uint8Array(capacity * valueSize);
      const count = new Uint32Array([capacity]);
      // The kernel's position: the number of a bucket for a hash map, a key for other types.
      const position: Uint8Array<ArrayBuffer> = new Uint8Array(Math.max(keySize, 4));
      const result = libbpf()
        .bpf_map_lookup_batch(this.fd, before, position, keys, values, count, NO_BATCH_OPTIONS);
      // One bucket has more entries than fit into the buffers.
      if (result === -ENOSPC) {
        capacity *= 2;
        continue;
      }
      const ended = result === -ENOENT;
      if (!ended) this.#check("read", result);
      yield { keys: new DataView(keys.buffer), values: new DataView(values.buffer), count: count[0] ?? 0 };
      if (ended) return;
      before = position;
    }
  }

  /**
   * Estimates the number of entries of a hash map from those in its first buckets, of which `sample` entries are read. The
   * number is exact if there are not more. With 1,024 the standard error is 3 %.
   */
  estimateEntries(sample: number): number {
    const { keySize, valueSize, maxEntries } = this.shape;
    const [keys, values] = [new Uint8Array(sample * keySize), new Uint8Array(sample * valueSize)];
    const count = new Uint32Array([sample]);
    /** The number of the next bucket. */
    const position = new Uint32Array(Math.max(1, Math.ceil(keySize / 4)));
    const result = libbpf()
      .bpf_map_lookup_batch(this.fd, null, position, keys, values, count, NO_BATCH_OPTIONS);
    // Some bucket has more entries than were asked for in all. No map of ours is so full.
    if (result === -ENOSPC) return maxEntries;
    const isAll = result === -ENOENT;
    if (!isAll) this.#check("read", result);
    const [read = 0] = count;
    // The kernel makes as many buckets as entries, rounded up to a power of two.
    const buckets = 2 ** Math.ceil(Math.log2(maxEntries));
    return isAll ? read : Math.min(maxEntries, Math.round(read * buckets / (position[0] ?? 1)));
  }

  /** Reads all keys, for map types that cannot be read in batches (LPM tries in old kernels). */
  *keys(): Generator<Uint8Array<ArrayBuffer>> {
    let before: Uint8Array<ArrayBuffer> | null = null;
    for (;;) {
      const key: Uint8Array<ArrayBuffer> = new Uint8Array(this.shape.keySize);
      if (!this.#found(libbpf().bpf_map_get_next_key(this.fd, before, key))) return;
      yield key;
      before = key;
    }
  }

  /** Maps the values of an array with BPF_F_MMAPABLE into memory. Writes to this memory change the map. */
  mapped(): MappedValues {
    const length = this.shape.valueSize * this.shape.maxEntries;
    const pointer = libc().mmap(null, BigInt(length), PROT_READ | PROT_WRITE, MAP_SHARED, this.fd, 0n);
    // MAP_FAILED is the highest address.
    if (pointer === null || Deno.UnsafePointer.value(pointer) === 0xffff_ffff_ffff_ffffn) {
      throw new KernelError(`map the ${length} bytes of BPF map ${this.name}`, errnoOf("ENOMEM"));
    }
    return new MappedValues(pointer, length);
  }

  [Symbol.dispose](): void {
    libc().close(this.fd);
  }

  #info(): Uint32Array {
    const info = new Uint32Array(INFO.bytes / 4);
    this.#check(
      "read the properties of",
      libbpf().bpf_obj_get_info_by_fd(this.fd, info, new Uint32Array([INFO.bytes])),
    );
    return info;
  }

  #found(result: number): boolean {
    if (result === -ENOENT) return false;
    this.#check("access", result);
    return true;
  }

  #check(operation: string, result: number): void {
    if (result < 0) {
      throw new KernelError(`${operation} BPF map ${this.name}`, -result, fullOf(this, -result));
    }
  }
}

/** The memory of a mapped array. */
export class MappedValues implements Disposable {
  readonly view: DataView<ArrayBuffer>;
  readonly #pointer: Deno.PointerObject;

  constructor(pointer: Deno.PointerObject, length: number) {
    this.#pointer = pointer;
    this.view = new DataView(Deno.UnsafePointerView.getArrayBuffer(pointer, length));
  }

  /** Unmaps the memory. The view must not be used afterwards. */
  [Symbol.dispose](): void {
    libc().munmap(this.#pointer, BigInt(this.view.byteLength));
  }
}

function fullOf(map: BpfMap, errno: number): { readonly extack?: string } {
  return errno === E2BIG
    ? { extack: `the map is full: its capacity is ${map.shape.maxEntries} entries` }
    : {};
}

/**
 * Reads the name and the shape of a map. Closes the descriptor on failure.
 * @param what names the map in errors.
 */
function readInfo(fd: number, what: string): { readonly name: string; readonly shape: MapShape } {
  const info = new Uint8Array(INFO.bytes);
  const result = libbpf().bpf_obj_get_info_by_fd(fd, info, new Uint32Array([INFO.bytes]));
  if (result < 0) {
    libc().close(fd);
    throw new KernelError(`read the properties of BPF map ${what}`, -result);
  }
  const [, , keySize = 0, valueSize = 0, maxEntries = 0] = new Uint32Array(info.buffer);
  return {
    name: stringIn(info.subarray(INFO.name, INFO.name + 16)),
    shape: { keySize, valueSize, maxEntries },
  };
}
