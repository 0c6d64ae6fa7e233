/** Stack of the programs in an object file, as the verifier of every kernel adds it up: check_max_stack_depth(). */

/** The deepest chain of calls of a program. */
export interface Depth {
  readonly program: string;
  readonly bytes: number;
  /** Functions from the program on, each with the bytes of its frame. */
  readonly chain: readonly string[];
}

/** Computes the stack of each program in an ELF file for BPF. */
export function stackDepths(elf: Uint8Array<ArrayBuffer>): readonly Depth[] {
  const file = new ElfFile(elf);
  const functions = new Map(file.functions().map((one) => [one.name, one]));
  const deepest = new Map<string, Omit<Depth, "program">>();
  const depthOf = (name: string): Omit<Depth, "program"> => {
    const known = deepest.get(name);
    const found = functions.get(name);
    if (known !== undefined || found === undefined) return known ?? { bytes: 0, chain: [] };
    const frame = Math.ceil(Math.max(1, found.frame) / FRAME_UNIT) * FRAME_UNIT;
    let below: Omit<Depth, "program"> = { bytes: 0, chain: [] };
    for (const callee of found.callees) {
      const depth = depthOf(callee);
      if (depth.bytes > below.bytes) below = depth;
    }
    const depth = { bytes: frame + below.bytes, chain: [`${name} ${frame}`, ...below.chain] };
    deepest.set(name, depth);
    return depth;
  };
  return [...functions.values()].filter(({ section }) => section !== ".text")
    .map(({ name }) => ({ program: name, ...depthOf(name) }));
}

/** The verifier rounds up each frame. */
const FRAME_UNIT = 32;

interface ElfFunction {
  readonly name: string;
  readonly section: string;
  readonly frame: number;
  readonly callees: ReadonlySet<string>;
}

interface Section {
  readonly name: string;
  readonly type: number;
  readonly isCode: boolean;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
  /** Number of the section that relocations change. */
  readonly info: number;
}

interface Symbol {
  readonly name: string;
  readonly isFunction: boolean;
  readonly section: number;
  readonly value: number;
  readonly size: number;
}

// elf.h
const SHT_SYMTAB = 2;
const SHT_REL = 9;
const SHF_EXECINSTR = 4n;
const STT_FUNC = 2;
const SYMBOL_BYTES = 24;
const RELOCATION_BYTES = 16;

// linux/bpf.h and linux/bpf_common.h
const INSTRUCTION_BYTES = 8;
const FRAME_POINTER = 10;
const CALL = 0x85;
const LOAD_IMMEDIATE = 0x18;
const MOVE = 0xbf;
const ADD_IMMEDIATE = 0x07;
const CLASS_MASK = 0x07;
const CLASS_LOAD = 1;
const CLASSES_STORE = [2, 3];
const PSEUDO_CALL = 1;

class ElfFile {
  readonly #view: DataView<ArrayBuffer>;
  readonly #sections: readonly Section[];
  readonly #symbols: readonly Symbol[];

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#sections = this.#readSections();
    this.#symbols = this.#readSymbols();
  }

  functions(): readonly ElfFunction[] {
    return this.#symbols.filter(({ isFunction, section }) => isFunction && this.#sections[section]?.isCode)
      .map((symbol) => this.#readFunction(symbol));
  }

  /** Reads the instructions of a function: how deep they use the stack, and which functions they call. */
  #readFunction({ name, section, value, size }: Symbol): ElfFunction {
    const { name: sectionName, offset } = this.#sections[section]!;
    const relocations = this.#relocationsOf(section);
    const callees = new Set<string>();
    let frame = 0;
    let alias = -1;
    for (let at = value; at < value + size; at += INSTRUCTION_BYTES) {
      const operation = this.#view.getUint8(offset + at);
      const registers = this.#view.getUint8(offset + at + 1);
      const [destination, source] = [registers & 0xf, registers >> 4];
      const displacement = this.#view.getInt16(offset + at + 2, true);
      const immediate = this.#view.getInt32(offset + at + 4, true);
      const kind = operation & CLASS_MASK;
      const base = kind === CLASS_LOAD ? source : CLASSES_STORE.includes(kind) ? destination : -1;
      if (base === FRAME_POINTER) frame = Math.max(frame, -displacement);
      if (operation === ADD_IMMEDIATE && destination === alias) frame = Math.max(frame, -immediate);
      alias = operation === MOVE && source === FRAME_POINTER ? destination : -1;
      const symbol = relocations.get(at);
      if (operation === CALL && source === PSEUDO_CALL) {
        const target = symbol === undefined
          ? { section, value: at + (immediate + 1) * INSTRUCTION_BYTES }
          : { section: symbol.section, value: symbol.value + (immediate + 1) * INSTRUCTION_BYTES };
        callees.add(this.#functionAt(target));
      } else if (
        operation === LOAD_IMMEDIATE && symbol !== undefined && this.#sections[symbol.section]?.isCode
      ) {
        // A callback.
        callees.add(this.#functionAt({ section: symbol.section, value: symbol.value + immediate }));
      }
    }
    return { name, section: sectionName, frame, callees };
  }

  #functionAt(place: Pick<Symbol, "section" | "value">): string {
    const found = this.#symbols.find(({ isFunction, section, value }) =>
      isFunction && section === place.section && value === place.value
    );
    // A kernel function.
    return found?.name ?? "";
  }

  #relocationsOf(section: number): ReadonlyMap<number, Symbol> {
    const relocations = new Map<number, Symbol>();
    const table = this.#sections.find(({ type, info }) => type === SHT_REL && info === section);
    if (table === undefined) return relocations;
    for (let at = table.offset; at < table.offset + table.size; at += RELOCATION_BYTES) {
      const symbol = this.#symbols[this.#view.getUint32(at + 12, true)];
      if (symbol !== undefined) relocations.set(Number(this.#view.getBigUint64(at, true)), symbol);
    }
    return relocations;
  }

  #readSections(): readonly Section[] {
    const start = Number(this.#view.getBigUint64(0x28, true));
    const [bytes, count, names] = [0x3a, 0x3c, 0x3e].map((at) => this.#view.getUint16(at, true));
    const headers = Array.from({ length: count! }, (_, index) => start + index * bytes!);
    const offsetOf = (header: number) => Number(this.#view.getBigUint64(header + 0x18, true));
    const strings = offsetOf(headers[names!]!);
    return headers.map((header) => ({
      name: this.#text(strings + this.#view.getUint32(header, true)),
      type: this.#view.getUint32(header + 4, true),
      isCode: (this.#view.getBigUint64(header + 8, true) & SHF_EXECINSTR) !== 0n,
      offset: offsetOf(header),
      size: Number(this.#view.getBigUint64(header + 0x20, true)),
      link: this.#view.getUint32(header + 0x28, true),
      info: this.#view.getUint32(header + 0x2c, true),
    }));
  }

  #readSymbols(): readonly Symbol[] {
    const table = this.#sections.find(({ type }) => type === SHT_SYMTAB)!;
    const strings = this.#sections[table.link]!.offset;
    return Array.from({ length: table.size / SYMBOL_BYTES }, (_, index) => {
      const at = table.offset + index * SYMBOL_BYTES;
      return {
        name: this.#text(strings + this.#view.getUint32(at, true)),
        isFunction: (this.#view.getUint8(at + 4) & 0xf) === STT_FUNC,
        section: this.#view.getUint16(at + 6, true),
        value: Number(this.#view.getBigUint64(at + 8, true)),
        size: Number(this.#view.getBigUint64(at + 16, true)),
      };
    });
  }

  #text(offset: number): string {
    let text = "";
    for (let at = offset; this.#view.getUint8(at) !== 0; at++) {
      text += String.fromCharCode(this.#view.getUint8(at));
    }
    return text;
  }
}
