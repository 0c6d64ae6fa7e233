import type { MessageWriter } from "../../ffi/netlink/writer.ts";
import * as nft from "./constants.ts";
import { verdictData } from "./expressions.ts";
import type { SetKind } from "./sets.ts";
import * as userdata from "./userdata.ts";

/** One element of a set or map of the table. Keys and data are binary strings, see keys.ts. */
export interface Element {
  readonly set: string;
  readonly key: string;
  /** By the set's kind: of a map the data, of a verdict map DROP or the chain to go to, of an interval set its last key; else "". */
  readonly value: string;
  /** "" for none. */
  readonly comment: string;
}

/** Value of a verdict map's element that ends the packet; no chain has this name. */
export const DROP = "drop";

export function writeElement(message: MessageWriter, kind: SetKind, element: Element): void {
  const mark = message.nestStart(nft.NFTA_LIST_ELEM);
  dataValue(message, nft.NFTA_SET_ELEM_KEY, element.key);
  if (kind === "map") dataValue(message, nft.NFTA_SET_ELEM_DATA, element.value);
  else if (kind === "interval set") dataValue(message, nft.NFTA_SET_ELEM_KEY_END, element.value);
  else if (kind === "verdict map") {
    const data = message.nestStart(nft.NFTA_SET_ELEM_DATA);
    if (element.value === DROP) verdictData(message, nft.NF_DROP, undefined);
    else verdictData(message, nft.NFT_GOTO, element.value);
    message.nestEnd(data);
  }
  if (element.comment !== "") {
    message.attrLatin1(nft.NFTA_SET_ELEM_USERDATA, userdata.comment(element.comment));
  }
  message.nestEnd(mark);
}

function dataValue(message: MessageWriter, type: number, value: string): void {
  const mark = message.nestStart(type);
  message.attrLatin1(nft.NFTA_DATA_VALUE, value);
  message.nestEnd(mark);
}
