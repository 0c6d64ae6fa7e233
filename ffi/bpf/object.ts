import { errnoOf } from "../errno.ts";
import { KernelError } from "../errors.ts";
import { libbpf } from "../libraries/libbpf.ts";
import { F_DUPFD_CLOEXEC, libc } from "../libraries/libc.ts";
import { copyOf, cString, textAt } from "../memory.ts";
import { Btf } from "./btf.ts";
import { BpfMap, type MapDefinition } from "./map.ts";
import { reasonIn, withMessages } from "./messages.ts";
import { BpfProgram } from "./program.ts";

/**
 * A compiled file of BPF programs and maps, as libbpf sees it. Settings that differ from the file are made before
 * `load`. Programs and maps exist after `load`. They outlive the object if they are pinned or attached, or if a handle of
 * them is open.
 */
export class BpfObject implements Disposable {
  readonly name: string;
  readonly #object: Deno.PointerObject;
  #types: Btf | undefined;

  private constructor(name: string, object: Deno.PointerObject) {
    this.name = name;
    this.#object = object;
  }

  /**
   * Reads an ELF file.
   * @param name names the object in errors.
   * @throws KernelError
   */
  static open(name: string, elf: Uint8Array<ArrayBuffer>): BpfObject {
    const { result: object, messages } = withMessages(() =>
      libbpf().bpf_object__open_mem(elf, BigInt(elf.length), null)
    );
    if (object !== null) return new BpfObject(name, object);
    const errno = -Number(libbpf().libbpf_get_error(null)) || errnoOf("EINVAL");
    throw new KernelError(`read BPF object ${name}`, errno, { extack: reasonIn(messages) });
  }

  get mapNames(): readonly string[] {
    return [...this.#each(libbpf().bpf_object__next_map)].map((map) => textAt(libbpf().bpf_map__name(map)));
  }

  get programNames(): readonly string[] {
    return [...this.#each(libbpf().bpf_object__next_program)]
      .map((program) => textAt(libbpf().bpf_program__name(program)));
  }

  /** Capacity of a map; 0 for map types without a capacity. */
  maxEntries(map: string): number {
    return libbpf().bpf_map__max_entries(this.#map(map));
  }

  /** The definition of a map, as `load` creates it. */
  definition(name: string): MapDefinition {
    const map = this.#map(name);
    const btf = this.#types ??= this.#readTypes();
    return {
      type: libbpf().bpf_map__type(map),
      keySize: libbpf().bpf_map__key_size(map),
      valueSize: libbpf().bpf_map__value_size(map),
      maxEntries: this.maxEntries(name),
      flags: libbpf().bpf_map__map_flags(map),
      key: btf.layout(libbpf().bpf_map__btf_key_type_id(map)),
      value: btf.layout(libbpf().bpf_map__btf_value_type_id(map)),
    };
  }

  /** Sets the capacity of a map. */
  setMaxEntries(map: string, count: number): void {
    this.#check(`set the capacity of map ${map}`, libbpf().bpf_map__set_max_entries(this.#map(map), count));
  }

  /** Sets the path at which `load` finds an existing map, or pins a new one. */
  setPinPath(map: string, path: string): void {
    this.#check(`pin map ${map}`, libbpf().bpf_map__set_pin_path(this.#map(map), cString(path)));
  }

  /**
   * Creates the maps, and loads the programs through the verifier.
   * @throws KernelError with the last lines of the verifier.
   */
  load(): void {
    const { result, messages } = withMessages(() => libbpf().bpf_object__load(this.#object));
    if (result < 0) {
      throw new KernelError(`load BPF object ${this.name}`, -result, { extack: reasonIn(messages) });
    }
  }

  /** Opens a map of a loaded object. The caller owns the handle. */
  map(name: string): BpfMap {
    const map = this.#map(name);
    const { bpf_map__fd, bpf_map__key_size, bpf_map__value_size } = libbpf();
    return new BpfMap(name, this.#own(`map ${name}`, bpf_map__fd(map)), {
      keySize: bpf_map__key_size(map),
      valueSize: bpf_map__value_size(map),
      maxEntries: this.maxEntries(name),
    });
  }

  /** Opens a program of a loaded object. The caller owns the handle. */
  program(name: string): BpfProgram {
    const fd = libbpf().bpf_program__fd(this.#program(name));
    return new BpfProgram(name, this.#own(`program ${name}`, fd));
  }

  [Symbol.dispose](): void {
    libbpf().bpf_object__close(this.#object);
  }

  #readTypes(): Btf {
    const size = new Uint32Array(1);
    const data = libbpf().btf__raw_data(libbpf().bpf_object__btf(this.#object), size);
    if (data === null) throw new RangeError(`BPF object ${this.name} has no BTF`);
    return new Btf(copyOf(data, size[0] ?? 0));
  }

  #map(name: string): Deno.PointerObject {
    const map = libbpf().bpf_object__find_map_by_name(this.#object, cString(name));
    if (map === null) throw new RangeError(`BPF object ${this.name} has no map ${name}`);
    return map;
  }

  #program(name: string): Deno.PointerObject {
    const program = libbpf().bpf_object__find_program_by_name(this.#object, cString(name));
    if (program === null) throw new RangeError(`BPF object ${this.name} has no program ${name}`);
    return program;
  }

  *#each(
    next: (object: Deno.PointerValue, current: Deno.PointerValue) => Deno.PointerValue,
  ): Generator<Deno.PointerObject> {
    for (let found = next(this.#object, null); found !== null; found = next(this.#object, found)) yield found;
  }

  /** Duplicates a descriptor that the object will close. */
  #own(what: string, fd: number): number {
    if (fd < 0) throw new RangeError(`${what} of BPF object ${this.name} is not loaded`);
    const own = libc().fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own < 0) throw new KernelError(`duplicate the descriptor of ${what}`, errnoOf("EMFILE"));
    return own;
  }

  #check(operation: string, result: number): void {
    if (result < 0) throw new KernelError(`${operation} of BPF object ${this.name}`, -result);
  }
}
