import { KernelError } from "../errors.ts";
import { libbpf } from "../libraries/libbpf.ts";
import { libc } from "../libraries/libc.ts";

/** The layout of a C type. Offsets and sizes are in bytes. */
export type TypeLayout =
  | { readonly kind: "integer"; readonly size: number }
  | { readonly kind: "enum"; readonly size: number; readonly names: ReadonlyMap<number, string> }
  | { readonly kind: "array"; readonly size: number; readonly element: TypeLayout; readonly count: number }
  | { readonly kind: "struct"; readonly size: number; readonly members: ReadonlyMap<string, Member> };

export interface Member {
  readonly offset: number;
  readonly type: TypeLayout;
}

/** Reports whether two types have the same layout, with the same names. */
export function sameLayout(a: TypeLayout, b: TypeLayout): boolean {
  if (a.kind !== b.kind || a.size !== b.size) return false;
  if (a.kind === "array" && b.kind === "array") {
    return a.count === b.count && sameLayout(a.element, b.element);
  }
  if (a.kind === "enum" && b.kind === "enum") {
    return a.names.size === b.names.size &&
      [...a.names].every(([value, name]) => b.names.get(value) === name);
  }
  if (a.kind !== "struct" || b.kind !== "struct") return true;
  return a.members.size === b.members.size && [...a.members].every(([name, { offset, type }]) => {
    const other = b.members.get(name);
    return other !== undefined && other.offset === offset && sameLayout(type, other.type);
  });
}

// enum in linux/btf.h
const BTF_KIND_INT = 1;
const BTF_KIND_ARRAY = 3;
const BTF_KIND_STRUCT = 4;
const BTF_KIND_UNION = 5;
const BTF_KIND_ENUM = 6;
const BTF_KIND_TYPEDEF = 8;
const BTF_KIND_VOLATILE = 9;
const BTF_KIND_CONST = 10;
const BTF_KIND_FUNC_PROTO = 13;
const BTF_KIND_VAR = 14;
const BTF_KIND_DATASEC = 15;
const BTF_KIND_DECL_TAG = 17;
const BTF_KIND_TYPE_TAG = 18;
const BTF_KIND_ENUM64 = 19;

/** struct btf_type is followed by so many bytes, for each of its `vlen` elements or once. */
const ELEMENT_BYTES: Readonly<Record<number, number>> = {
  [BTF_KIND_STRUCT]: 12,
  [BTF_KIND_UNION]: 12,
  [BTF_KIND_ENUM]: 8,
  [BTF_KIND_FUNC_PROTO]: 8,
  [BTF_KIND_DATASEC]: 12,
  [BTF_KIND_ENUM64]: 12,
};
const EXTRA_BYTES: Readonly<Record<number, number>> = {
  [BTF_KIND_INT]: 4,
  [BTF_KIND_ARRAY]: 12,
  [BTF_KIND_VAR]: 4,
  [BTF_KIND_DECL_TAG]: 4,
};

/** struct btf_type: u32 name_off, u32 info, u32 size or type. linux/btf.h */
const TYPE_BYTES = 12;

/** The types of a compiled object or of a map: BPF Type Format. */
export class Btf {
  readonly #view: DataView<ArrayBuffer>;
  readonly #strings: number;
  /** Offsets of the types by id. Id 0 is void. */
  readonly #offsets: number[] = [0];

  /** @param bytes struct btf_header, the types and the strings. */
  constructor(bytes: Uint8Array<ArrayBuffer>) {
    const view = this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    // struct btf_header: u16 magic, u8 version, u8 flags, u32 hdr_len, type_off, type_len, str_off, str_len.
    const header = view.getUint32(4, true);
    this.#strings = header + view.getUint32(16, true);
    let offset = header + view.getUint32(8, true);
    const end = offset + view.getUint32(12, true);
    while (offset < end) {
      this.#offsets.push(offset);
      const { kind, count } = this.#info(offset);
      offset += TYPE_BYTES + count * (ELEMENT_BYTES[kind] ?? 0) + (EXTRA_BYTES[kind] ?? 0);
    }
  }

  /** The layout of the type with an id; undefined for types that no map entry has, such as pointers. */
  layout(id: number): TypeLayout | undefined {
    const offset = this.#offsets[id];
    if (offset === undefined || id === 0) return undefined;
    const size = this.#view.getUint32(offset + 8, true);
    const { kind, count } = this.#info(offset);
    switch (kind) {
      case BTF_KIND_TYPEDEF:
      case BTF_KIND_VOLATILE:
      case BTF_KIND_CONST:
      case BTF_KIND_TYPE_TAG:
        return this.layout(size);
      case BTF_KIND_INT:
        return { kind: "integer", size };
      case BTF_KIND_ENUM:
        return { kind: "enum", size, names: this.#enumerators(offset, count) };
      case BTF_KIND_ARRAY:
        return this.#array(offset);
      case BTF_KIND_STRUCT:
        return this.#struct(offset, size, count);
      default:
        return undefined;
    }
  }

  #enumerators(offset: number, count: number): ReadonlyMap<number, string> {
    const names = new Map<number, string>();
    for (let at = offset + TYPE_BYTES, left = count; left > 0; left--, at += 8) {
      names.set(this.#view.getUint32(at + 4, true), this.#name(at));
    }
    return names;
  }

  #array(offset: number): TypeLayout | undefined {
    const element = this.layout(this.#view.getUint32(offset + TYPE_BYTES, true));
    const count = this.#view.getUint32(offset + TYPE_BYTES + 8, true);
    return element && { kind: "array", size: element.size * count, element, count };
  }

  #struct(offset: number, size: number, count: number): TypeLayout | undefined {
    const members = new Map<string, Member>();
    for (let at = offset + TYPE_BYTES, left = count; left > 0; left--, at += 12) {
      const type = this.layout(this.#view.getUint32(at + 4, true));
      if (type === undefined) return undefined;
      members.set(this.#name(at), { offset: this.#view.getUint32(at + 8, true) / 8, type });
    }
    return { kind: "struct", size, members };
  }

  #info(offset: number): { readonly kind: number; readonly count: number } {
    const info = this.#view.getUint32(offset + 4, true);
    return { kind: info >>> 24 & 0x1f, count: info & 0xffff };
  }

  #name(offset: number): string {
    let at = this.#strings + this.#view.getUint32(offset, true);
    let name = "";
    for (let byte = this.#view.getUint8(at); byte !== 0; byte = this.#view.getUint8(++at)) {
      name += String.fromCharCode(byte);
    }
    return name;
  }
}

/** struct bpf_btf_info, linux/bpf.h: u64 btf, u32 btf_size, u32 id, u64 name, u32 name_len, u32 kernel_btf. */
const BTF_INFO = { bytes: 32, size: 8 };

/**
 * Reads types from the kernel.
 * @throws KernelError with EPERM without CAP_SYS_ADMIN.
 */
export function readBtf(id: number): Btf {
  const fd = libbpf().bpf_btf_get_fd_by_id(id);
  if (fd < 0) throw new KernelError(`read BTF ${id}`, -fd);
  try {
    const size = readInto(fd, id, null, 0);
    const bytes = new Uint8Array(size);
    readInto(fd, id, Deno.UnsafePointer.of(bytes), size);
    return new Btf(bytes);
  } finally {
    libc().close(fd);
  }
}

/** @returns the size of the types. */
function readInto(fd: number, id: number, pointer: Deno.PointerValue, size: number): number {
  const info = new DataView(new ArrayBuffer(BTF_INFO.bytes));
  info.setBigUint64(0, pointer === null ? 0n : Deno.UnsafePointer.value(pointer), true);
  info.setUint32(BTF_INFO.size, size, true);
  const length = Uint32Array.of(BTF_INFO.bytes);
  const result = libbpf().bpf_obj_get_info_by_fd(fd, new Uint8Array(info.buffer), length);
  if (result < 0) throw new KernelError(`read BTF ${id}`, -result);
  return info.getUint32(BTF_INFO.size, true);
}
