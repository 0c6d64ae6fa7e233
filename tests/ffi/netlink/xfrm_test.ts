import assert from "node:assert/strict";
import { NLM_F_DUMP, NLM_F_REQUEST } from "../../../ffi/netlink/constants.ts";
import { messages } from "../../../ffi/netlink/reader.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import {
  decodePolicy,
  writeDumpPolicies,
  XFRM_POLICY_FWD,
  XFRM_POLICY_OUT,
} from "../../../ffi/netlink/xfrm.ts";
import { hex } from "./hex.ts";

// Payloads of the answers of Linux 6.18 to `ip xfrm policy` of iproute2 6.1.

/** `ip xfrm policy add src 10.0.0.0/24 dst 10.0.3.0/24 dir out if_id 7 tmpl … proto esp mode tunnel` */
const OUT_OF_DEVICE = `
  0a0003000000000000000000000000000a000000000000000000000000000000000000000000000002001818000000000000000000000000ffff
  ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff00000000000000000000000000000000000000000000000000000000
  000000000000000000000000000000000000000038ef0d6b00000000000000000000000000000000110000000100000000000000440005000202
  0202000000000000000000000000000000003200000002000000010101010000000000000000000000000000000001000000ffffffffffffffff
  ffffffff0a001000000000000000000008001f0007000000
`;

/** `ip xfrm policy add src 10.0.0.0/24 dst 10.0.2.0/24 dir fwd action block` */
const FORWARD_BLOCK = `
  0a0002000000000000000000000000000a000000000000000000000000000000000000000000000002001818000000000000000000000000ffff
  ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff00000000000000000000000000000000000000000000000000000000
  000000000000000000000000000000000000000038ef0d6b000000000000000000000000000000000a00000002010000000000000a0010000000
  000000000000
`;

/** `ip xfrm policy add src 10.0.0.0/24 dst 10.0.1.0/24 dir out tmpl src 1.1.1.1 dst 2.2.2.2 proto esp mode tunnel` */
const OUT_TUNNEL = `
  0a0001000000000000000000000000000a000000000000000000000000000000000000000000000002001818000000000000000000000000ffff
  ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff00000000000000000000000000000000000000000000000000000000
  000000000000000000000000000000000000000038ef0d6b00000000000000000000000000000000010000000100000000000000440005000202
  0202000000000000000000000000000000003200000002000000010101010000000000000000000000000000000001000000ffffffffffffffff
  ffffffff0a0010000000000000000000
`;

Deno.test("policies of IPsec are listed as ip does it", () => {
  const writer = new MessageWriter(64, { nestedFlag: false });
  writeDumpPolicies(writer, 1);
  const [message] = messages(writer.bytes());
  // XFRM_MSG_GETPOLICY
  assert.equal(message?.type, 21);
  assert.equal(message.flags, NLM_F_REQUEST | NLM_F_DUMP);
  assert.equal(message.payload.length, 0);
});

Deno.test("a policy of IPsec is decoded as ip shows it", () => {
  const none = { blocks: false, transforms: false, interfaceId: 0 };
  assert.deepEqual(decodePolicy(hex(OUT_TUNNEL)), { ...none, direction: XFRM_POLICY_OUT, transforms: true });
  assert.deepEqual(decodePolicy(hex(FORWARD_BLOCK)), { ...none, direction: XFRM_POLICY_FWD, blocks: true });
  assert.deepEqual(decodePolicy(hex(OUT_OF_DEVICE)), {
    ...none,
    direction: XFRM_POLICY_OUT,
    transforms: true,
    interfaceId: 7,
  });
});
