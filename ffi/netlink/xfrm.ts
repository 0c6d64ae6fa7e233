import { NLM_F_DUMP, NLM_F_REQUEST } from "./constants.ts";
import { attribute } from "./reader.ts";
import type { MessageWriter } from "./writer.ts";

/** Policies of IPsec. Integers are in host byte order. */

const XFRM_MSG_GETPOLICY = 0x15; // linux/xfrm.h

/** struct xfrm_userpolicy_info; linux/xfrm.h */
const POLICY_BYTES = 168;
const POLICY_DIR = 160; // u8
const POLICY_ACTION = 161; // u8

export const XFRM_POLICY_OUT = 1; // linux/xfrm.h
export const XFRM_POLICY_FWD = 2; // linux/xfrm.h

const XFRM_POLICY_BLOCK = 1; // linux/xfrm.h

const XFRMA_TMPL = 5; // linux/xfrm.h
const XFRMA_IF_ID = 31; // linux/xfrm.h

/** A policy, as `ip xfrm policy` shows it. */
export interface XfrmPolicy {
  /** XFRM_POLICY_OUT, XFRM_POLICY_FWD, or another one. */
  readonly direction: number;
  /** Drops packets. */
  readonly blocks: boolean;
  /** Encapsulates packets, or demands that they arrived encapsulated. */
  readonly transforms: boolean;
  /** Identifies the device whose packets it is for; 0 for packets of every other device. */
  readonly interfaceId: number;
}

/** `ip xfrm policy` */
export function writeDumpPolicies(message: MessageWriter, seq: number): void {
  message.begin(XFRM_MSG_GETPOLICY, NLM_F_REQUEST | NLM_F_DUMP, seq);
  message.end();
}

/** Decodes the payload of XFRM_MSG_NEWPOLICY. */
export function decodePolicy(payload: Uint8Array): XfrmPolicy {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  return {
    direction: view.getUint8(POLICY_DIR),
    blocks: view.getUint8(POLICY_ACTION) === XFRM_POLICY_BLOCK,
    transforms: attribute(payload, XFRMA_TMPL, POLICY_BYTES) !== undefined,
    interfaceId: attribute(payload, XFRMA_IF_ID, POLICY_BYTES)?.u32le() ?? 0,
  };
}
