import assert from "node:assert/strict";
import {
  KUBE_PROXY_IPSETS,
  type RemovalOptions,
  removeKubeProxyIpsets,
  writeDestroy,
  writeListNames,
} from "../../../backends/ipvs/kube_proxy_ipsets.ts";
import { errnoOf } from "../../../ffi/errno.ts";
import { KernelError } from "../../../ffi/errors.ts";
import { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { NLM_F_ACK, NLM_F_EXCL } from "../../../ffi/netlink/constants.ts";
import { attribute, messages } from "../../../ffi/netlink/reader.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { FakeTransport } from "../../ffi/netlink/fake_transport.ts";
import { hex } from "../../ffi/netlink/hex.ts";
import * as golden from "./ipset_goldens.ts";

const IPSET_CMD_LIST = 0x607;
const IPSET_ERR_PROTOCOL = 4097;
const IPSET_ERR_BUSY = 4100;

Deno.test("messages equal those of ipset, except for the protocol version and unneeded flags", () => {
  const list = new MessageWriter();
  writeListNames(list, 1);
  assert.deepEqual(fieldsOf(list.bytes(), NLM_F_ACK), fieldsOf(inVersion6(golden.LIST_NAMES), NLM_F_ACK));
  const destroy = new MessageWriter();
  writeDestroy(destroy, 1, "KUBE-6-CLUSTER-IP");
  assert.deepEqual(fieldsOf(destroy.bytes(), NLM_F_EXCL), fieldsOf(inVersion6(golden.DESTROY), NLM_F_EXCL));
});

Deno.test("the kernel's answers are decoded", async () => {
  for (
    const [answer, left] of [[golden.DONE, []], [golden.MISSING, []], [golden.BUSY, [
      "KUBE-CLUSTER-IP",
    ]]] as const
  ) {
    const names = golden.NAMES.filter((_, index) => index !== 1);
    const kernel = new FakeTransport((sent) => {
      const answers = typeOf(sent) === IPSET_CMD_LIST ? names : [answer];
      return answers.map((one) => answering(sent, hex(one)));
    });
    assert.deepEqual(await remove(kernel, { patienceMs: 0, isLoaded: () => true }), left);
    assert.deepEqual(destroyed(kernel), ["KUBE-CLUSTER-IP"]);
  }
});

Deno.test("the ipsets of kube-proxy are removed in both families, and no others", async () => {
  const names = [
    "KUBE-CLUSTER-IP",
    "KUBE-6-LOAD-BALANCER-SOURCE-CID",
    "KUBE-6-NODE-PORT-LOCAL-SCTP-HAS",
  ];
  const others = ["KUBE-CLUSTER-IPS", "KUBE-OF-MINE", "KUBE-6-LOAD-BALANCER-SOURCE-CIDR", "cali40s", ""];
  const kernel = sets([...others, ...names], () => 0);
  assert.deepEqual(await remove(kernel, { isLoaded: () => true }), []);
  assert.deepEqual(destroyed(kernel), names);
  assert.equal(KUBE_PROXY_IPSETS.size, 38);
  for (const name of KUBE_PROXY_IPSETS) assert.ok(name.length <= 31, name);
});

Deno.test("a set in use is retried, because the kernel frees deleted rules later, and reported if it stays in use", async () => {
  let tries = 0;
  const kernel = sets(["KUBE-CLUSTER-IP", "KUBE-IPVS-IPS", "KUBE-LOOP-BACK"], (name) => {
    if (name === "KUBE-LOOP-BACK") return 0;
    if (name === "KUBE-IPVS-IPS" && ++tries === 3) return 0;
    return IPSET_ERR_BUSY;
  });
  const inUse = await remove(kernel, { patienceMs: 200, isLoaded: () => true });
  assert.deepEqual(inUse, ["KUBE-CLUSTER-IP"]);
  assert.equal(tries, 3);
  assert.equal(destroyed(kernel).filter((name) => name === "KUBE-LOOP-BACK").length, 1);
});

Deno.test("a kernel without ipsets has nothing to remove, and the module is not loaded for the removal", async () => {
  const without = new FakeTransport((sent) => [rejection(sent, errnoOf("EINVAL"))]);
  assert.deepEqual(await remove(without, { isLoaded: () => true }), []);
  const unasked = new FakeTransport();
  assert.deepEqual(await remove(unasked, { isLoaded: () => false }), []);
  assert.deepEqual(unasked.sent, []);
});

Deno.test("other rejections are errors", async () => {
  const rejections = [
    [errnoOf("EPERM"), /list the sets of ipset: EPERM .*(has|lacks) CAP_NET_ADMIN/],
    [IPSET_ERR_PROTOCOL, /list the sets of ipset: EPROTO .*version 6 of the ipset protocol/],
  ] as const;
  for (const [errno, words] of rejections) {
    const kernel = new FakeTransport((sent) => [rejection(sent, errno)]);
    await assert.rejects(
      remove(kernel, { isLoaded: () => true }),
      (error) => error instanceof KernelError && words.test(error.message),
    );
  }
  await assert.rejects(
    remove(sets(["KUBE-IPVS-IPS"], () => errnoOf("ENOMEM")), { isLoaded: () => true }),
    /destroy the set KUBE-IPVS-IPS of ipset: ENOMEM/,
  );
});

function remove(kernel: FakeTransport, options: RemovalOptions): Promise<readonly string[]> {
  return removeKubeProxyIpsets(() => new NetlinkClient(kernel), options);
}

/** A kernel with sets of these names. @param destroy returns the errno of a removal; 0 for success. */
function sets(names: readonly string[], destroy: (name: string) => number): FakeTransport {
  return new FakeTransport((sent) => {
    if (typeOf(sent) !== IPSET_CMD_LIST) return [rejection(sent, destroy(nameIn(sent)))];
    const answer = new MessageWriter();
    for (const name of names) {
      answer.begin(IPSET_CMD_LIST, 0x2, seqOf(sent));
      answer.rawU32le(2);
      answer.attrString(2, name);
      answer.end();
    }
    return [answer.bytes().slice(), answering(sent, hex(golden.NAMES.at(-1) ?? ""))];
  });
}

/** Names of the sets in the destroy requests, in their order. */
function destroyed({ sent }: FakeTransport): string[] {
  return sent.filter((bytes) => typeOf(bytes) !== IPSET_CMD_LIST).map(nameIn);
}

/** The fields of a message that do not differ between runs, without some flags. */
function fieldsOf(bytes: Uint8Array, withoutFlags: number) {
  const [message] = messages(bytes);
  assert.ok(message !== undefined);
  const { type, flags, payload } = message;
  return { type, flags: flags & ~withoutFlags, payload: payload.toHex() };
}

function inVersion6(dump: string): Uint8Array {
  return hex(dump.replaceAll(/\s/g, "").replace("0500010007", "0500010006"));
}

/** Copies an answer with the sequence number of another request. */
function answering(sent: Uint8Array, answer: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const bytes = answer.slice();
  new DataView(bytes.buffer).setUint32(8, seqOf(sent), true);
  return bytes;
}

/** struct nlmsgerr { int error; struct nlmsghdr msg; } */
function rejection(sent: Uint8Array, errno: number): Uint8Array<ArrayBuffer> {
  const answer = answering(sent, hex(golden.DONE));
  new DataView(answer.buffer).setInt32(16, -errno, true);
  return answer;
}

function seqOf(sent: Uint8Array): number {
  return first(sent).seq;
}

function typeOf(sent: Uint8Array): number {
  return first(sent).type;
}

function nameIn(sent: Uint8Array): string {
  return attribute(first(sent).payload, 2, 4)?.string() ?? "";
}

function first(sent: Uint8Array) {
  const [message] = messages(sent);
  assert.ok(message !== undefined);
  return message;
}
