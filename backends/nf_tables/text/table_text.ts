import { addressFromBytes, formatAddress } from "../../../core/net/address.ts";
import { type Attribute, attributes } from "../../../ffi/netlink/reader.ts";
import { protocolOfNumber } from "../../protocol_numbers.ts";
import type { ElementAction, Table, TableWriter } from "../batch.ts";
import * as nft from "../constants.ts";
import type { TableFamily } from "../families.ts";
import type { Chain } from "../rules.ts";
import type { FieldType, SetSpec } from "../set/spec.ts";
import { quoted, ruleText, verdictText } from "./rule_text.ts";

/** Writes a table as text for `nft -f`, which replaces an existing table in one transaction. */
export class TableText implements TableWriter {
  readonly #table: Table;
  readonly #family: TableFamily;
  readonly #sets = new Map<string, { readonly spec: SetSpec; readonly elements: string[] }>();
  readonly #counters: string[] = [];
  readonly #chains = new Map<string, Chain>();

  constructor(table: Table, family: TableFamily) {
    this.#table = table;
    this.#family = family;
  }

  removeTable(): void {}

  addTable(): void {}

  addSet(_family: TableFamily, spec: SetSpec): void {
    this.#sets.set(spec.name, { spec, elements: [] });
  }

  addCounter(_family: TableFamily, name: string): void {
    this.#counters.push(name);
  }

  addChain(_family: TableFamily, chain: Chain): void {
    this.#chains.set(chain.name, chain);
  }

  /** The rules are those of the chain that was added. */
  addRules(): void {}

  elements(_family: TableFamily, _action: ElementAction, name: string, bytes: Uint8Array): void {
    const set = this.#sets.get(name);
    if (set === undefined) throw new Error(`nf_tables: no set ${name}`);
    for (const element of attributes(bytes)) set.elements.push(elementText(set.spec, element));
  }

  deleteChain = neverNeeded;
  deleteRules = neverNeeded;
  deleteSet = neverNeeded;
  flushSet = neverNeeded;

  /** The text of the table. */
  text(): string {
    const head = `table ${this.#family.keyword} ${this.#table.name}`;
    const sets = this.#sets.values().map(({ spec, elements }) => setText(spec, elements));
    const chains = this.#chains.values().map((chain) => chainText(this.#family, chain));
    const counters = this.#counters.map((name) => block(`counter ${name}`, []));
    const blocks = [`\tcomment ${quoted(this.#table.comment)}\n`, ...counters, ...sets, ...chains];
    return `${head}\ndelete ${head}\n${head} {\n${blocks.join("\n")}}\n`;
  }
}

/** The text is that of a table which did not exist before. */
function neverNeeded(): never {
  throw new Error("nf_tables: a table that is written as text has nothing to delete");
}

function setText(spec: SetSpec, elements: readonly string[]): string {
  const lines = [
    ...(spec.kind === "map"
      ? [`typeof ${fieldsOf(spec.key, typeofField)} : ${fieldsOf(spec.data ?? [], typeofField)}`]
      : [`type ${fieldsOf(spec.key, typeField)}${spec.kind === "verdict map" ? " : verdict" : ""}`]),
    ...(spec.kind === "interval set" ? ["flags interval"] : []),
    ...(spec.kind === "dynamic set" ? ["size 65535", "flags dynamic,timeout"] : []),
    ...(spec.kind === "counting set" ? ["size 65535", "flags dynamic"] : []),
    ...(spec.timeoutSeconds === undefined ? [] : [`timeout ${spec.timeoutSeconds}s`]),
    ...(spec.comment === "" ? [] : [`comment ${quoted(spec.comment)}`]),
    ...(elements.length === 0 ? [] : [`elements = { ${elements.join(",\n\t\t\t     ")} }`]),
  ];
  const keyword = spec.kind.endsWith("map") ? "map" : "set";
  return block(`${keyword} ${spec.name}`, lines);
}

function chainText(family: TableFamily, chain: Chain): string {
  const { name, hook, rules } = chain;
  const lines = hook === undefined ? [] : [
    `type ${hook.type} hook ${HOOKS[hook.number]} priority ${hook.priority}; policy accept;`,
  ];
  return block(`chain ${name}`, [...lines, ...rules.map((rule) => ruleText(family, rule))]);
}

const HOOKS: Readonly<Record<number, string>> = {
  [nft.NF_INET_PRE_ROUTING]: "prerouting",
  [nft.NF_INET_LOCAL_IN]: "input",
  [nft.NF_INET_FORWARD]: "forward",
  [nft.NF_INET_LOCAL_OUT]: "output",
  [nft.NF_INET_POST_ROUTING]: "postrouting",
};

function block(head: string, lines: readonly string[]): string {
  return `\t${head} {\n${lines.map((line) => `\t\t${line}\n`).join("")}\t}\n`;
}

function fieldsOf(fields: readonly FieldType[], nameOf: (field: FieldType) => string): string {
  return fields.map(nameOf).join(" . ");
}

/** Numbers of types. nftables/include/datatype.h, enum datatypes */
const TYPES: Readonly<Record<number, { readonly type: string; readonly typeof: string }>> = {
  4: { type: "integer", typeof: "numgen random mod 65535" },
  7: { type: "ipv4_addr", typeof: "ip daddr" },
  8: { type: "ipv6_addr", typeof: "ip6 daddr" },
  12: { type: "inet_proto", typeof: "meta l4proto" },
  13: { type: "inet_service", typeof: "th dport" },
};

function typeField({ datatype }: FieldType): string {
  return TYPES[datatype]?.type ?? "";
}

function typeofField({ datatype }: FieldType): string {
  return TYPES[datatype]?.typeof ?? "";
}

function elementText(spec: SetSpec, element: Attribute): string {
  const bytesOf = (type: number) =>
    Uint8Array.from(element.attribute(type)?.attribute(nft.NFTA_DATA_VALUE)?.bytes ?? []);
  const first = keyText(spec.key, bytesOf(nft.NFTA_SET_ELEM_KEY));
  const last = spec.kind === "interval set" ? keyText(spec.key, bytesOf(nft.NFTA_SET_ELEM_KEY_END)) : first;
  // Only the last field of a key is a range.
  const key = last.join() === first.join()
    ? first
    : [...first.slice(0, -1), `${first.at(-1)}-${last.at(-1)}`];
  const data = element.attribute(nft.NFTA_SET_ELEM_DATA);
  const value = spec.kind === "map"
    ? ` : ${keyText(spec.data ?? [], bytesOf(nft.NFTA_SET_ELEM_DATA)).join(" . ")}`
    : spec.kind === "verdict map"
    ? ` : ${verdictText(data?.attribute(nft.NFTA_DATA_VERDICT))}`
    : "";
  return `${key.join(" . ")}${commentOf(element)}${value}`;
}

function commentOf(element: Attribute): string {
  // One comment: type, length, and text that ends with NUL (userdata.ts).
  const userdata = element.attribute(nft.NFTA_SET_ELEM_USERDATA)?.latin1() ?? "";
  return userdata === "" ? "" : ` comment ${quoted(userdata.slice(2).replace(/\0.*$/s, ""))}`;
}

/** The texts of the fields of a key, which are padded to 4 bytes. */
function keyText(fields: readonly FieldType[], bytes: Uint8Array<ArrayBuffer>): string[] {
  let offset = 0;
  return fields.map(({ datatype, bytes: length }) => {
    const field = bytes.subarray(offset, offset + length);
    offset += length + 3 & ~3;
    const view = new DataView(bytes.buffer, field.byteOffset, length);
    switch (TYPES[datatype]?.type) {
      case "inet_proto":
        return protocolOfNumber(view.getUint8(0))?.toLowerCase() ?? "";
      case "inet_service":
        return String(view.getUint16(0));
      case "integer":
        return String(view.getUint32(0, true));
      default:
        return formatAddress(addressFromBytes(field));
    }
  });
}
