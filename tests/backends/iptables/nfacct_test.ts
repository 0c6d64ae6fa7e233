import assert from "node:assert/strict";
import { CT_STATE_INVALID_DROPPED } from "../../../backends/iptables/rules/names.ts";
import { PacketCounters } from "../../../backends/iptables/nfacct.ts";
import { errnoOf } from "../../../ffi/errno.ts";
import { KernelError } from "../../../ffi/errors.ts";
import { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { NLMSG_ERROR } from "../../../ffi/netlink/constants.ts";
import { messages } from "../../../ffi/netlink/reader.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { FakeTransport } from "../../ffi/netlink/fake_transport.ts";

/** A kernel that gives these answers in turn: the name of an errno, or "" for success. */
function kernel(...answers: readonly string[]): NetlinkClient {
  const waiting = [...answers];
  return new NetlinkClient(
    new FakeTransport((sent) => {
      const [request] = messages(sent);
      const errno = waiting.shift() ?? "";
      const answer = new MessageWriter();
      answer.begin(NLMSG_ERROR, 0x100, request?.seq ?? 0);
      answer.rawU32le(errno === "" ? 0 : -errnoOf(errno) >>> 0);
      for (const value of [16, request?.type ?? 0, request?.seq ?? 0, 0]) answer.rawU32le(value);
      answer.end();
      return [answer.bytes().slice()];
    }),
  );
}

Deno.test("packet counters are supported if a missing one is ENOENT and the match nfacct exists", async () => {
  const rows: readonly [isSupported: boolean, ...answers: string[]][] = [
    [true, "ENOENT", ""],
    [true, "", ""],
    // Without nfnetlink_acct, and without xt_nfacct.
    [false, "EINVAL"],
    [false, "EPERM"],
    [false, "ENOENT", "ENOENT"],
    [false, "ENOENT", "EPROTONOSUPPORT"],
  ];
  for (const [isSupported, ...answers] of rows) {
    assert.equal(await new PacketCounters(kernel(...answers)).isSupported(), isSupported, answers.join());
  }
});

Deno.test("an existing counter is kept, and a counter that cannot be made is an error", async () => {
  for (const answer of ["", "EBUSY", "EEXIST"]) {
    await new PacketCounters(kernel(answer)).ensure(CT_STATE_INVALID_DROPPED);
  }
  await assert.rejects(
    new PacketCounters(kernel("ENOMEM")).ensure(CT_STATE_INVALID_DROPPED),
    (error) => error instanceof KernelError && error.errnoName === "ENOMEM",
  );
});

Deno.test("a kernel without counters has no metrics of counters", async () => {
  assert.deepEqual(await new PacketCounters(kernel("EINVAL", "EINVAL")).metrics(), []);
});
