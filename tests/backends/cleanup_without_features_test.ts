import assert from "node:assert/strict";
import { removeFormerFlowsTable } from "../../backends/ebpf/netfilter/former_flows.ts";
import { TcFilters } from "../../backends/ebpf/programs/tc_filters.ts";
import { IptablesBackend } from "../../backends/iptables/backend.ts";
import { IpvsBackend } from "../../backends/ipvs/backend.ts";
import { NftablesBackend } from "../../backends/nftables/backend.ts";
import { UserspaceBackend } from "../../backends/userspace/backend.ts";
import { errnoOf } from "../../ffi/errno.ts";
import { KernelError } from "../../ffi/errors.ts";
import { NetlinkClient } from "../../ffi/netlink/client.ts";
import { NETLINK_NETFILTER, NLMSG_DONE, NLMSG_ERROR } from "../../ffi/netlink/constants.ts";
import { NFNL_MSG_BATCH_BEGIN } from "../../ffi/netlink/nfnetlink.ts";
import { messages, type NetlinkMessage } from "../../ffi/netlink/reader.ts";
import {
  IFINFOMSG_BYTES,
  RTM_DELTFILTER,
  RTM_GETLINK,
  RTM_NEWLINK,
} from "../../ffi/netlink/rtnetlink/constants.ts";
import type { OpenNetlink } from "../../ffi/netlink/transport.ts";
import { MessageWriter } from "../../ffi/netlink/writer.ts";
import { FakeTransport } from "../ffi/netlink/fake_transport.ts";
import { defaultOptions } from "./ipvs/options.ts";
import { FakeRelay, userspaceOptions } from "./userspace/fake_relay.ts";

/** The cleanup of every mode, as far as it asks the kernel over netlink. */
const cleanups: Readonly<Record<string, (open: OpenNetlink) => Promise<unknown>>> = {
  nftables: (open) => new NftablesBackend(open).cleanup(),
  iptables: (open) => new IptablesBackend(open).cleanup(),
  ipvs: (open) => new IpvsBackend(defaultOptions, open).cleanup(),
  userspace: (open) => new UserspaceBackend(userspaceOptions, FakeRelay.starter([]), open).cleanup(),
  ebpf: (open) => removeFormerFlowsTable(open),
};

for (const [mode, cleanUp] of Object.entries(cleanups)) {
  Deno.test(`mode ${mode} has nothing to clean up on a kernel without nf_tables`, async () => {
    // nfnetlink without the subsystem: net/netfilter/nfnetlink.c, nfnetlink_rcv_msg and nfnetlink_rcv_batch.
    await cleanUp(kernel((type) => type === NFNL_MSG_BATCH_BEGIN ? "EOPNOTSUPP" : "EINVAL"));
  });

  Deno.test(`mode ${mode} has nothing to clean up on a kernel without nfnetlink`, async () => {
    await cleanUp((protocol, options) => {
      if (protocol !== NETLINK_NETFILTER) return kernel(() => "")(protocol, options);
      throw new KernelError("open a NETLINK_NETFILTER socket", errnoOf("EPROTONOSUPPORT"));
    });
  });

  Deno.test(`mode ${mode} fails to clean up if the kernel denies it`, async () => {
    await assert.rejects(async () => await cleanUp(kernel(() => "EPERM")), /EPERM/);
  });
}

Deno.test("a device has no filters of mode ebpf on a kernel without the qdisc clsact, or without filters", async () => {
  for (const errno of ["EINVAL", "EOPNOTSUPP"]) {
    using client = new NetlinkClient(device(errno));
    await new TcFilters(client).removeAll();
  }
  using client = new NetlinkClient(device("EPERM"));
  await assert.rejects(() => new TcFilters(client).removeAll(), /remove the filter of device 7: EPERM/);
});

/** A kernel without network devices. @param nfnetlink returns its errno for a type of message. */
function kernel(nfnetlink: (type: number) => string): OpenNetlink {
  return (protocol) =>
    new FakeTransport((sent) => {
      const [first] = messages(sent);
      if (first === undefined) return [];
      return [error(first, protocol === NETLINK_NETFILTER ? nfnetlink(first.type) : "ENODEV")];
    });
}

/** A kernel with one network device. @param errno its answer to the removal of a filter. */
function device(errno: string): FakeTransport {
  return new FakeTransport((sent) =>
    [...messages(sent)].map((message) => {
      if (message.type === RTM_DELTFILTER) return error(message, errno);
      assert.equal(message.type, RTM_GETLINK);
      const answer = new MessageWriter();
      answer.begin(RTM_NEWLINK, 0, message.seq);
      const header = new Uint8Array(IFINFOMSG_BYTES);
      new DataView(header.buffer).setInt32(4, 7, true);
      answer.rawBytes(header);
      answer.end();
      answer.begin(NLMSG_DONE, 0, message.seq);
      answer.rawU32le(0);
      answer.end();
      return answer.bytes().slice();
    })
  );
}

/** struct nlmsgerr { int error; struct nlmsghdr msg; } */
function error({ type, seq }: NetlinkMessage, errno: string): Uint8Array<ArrayBuffer> {
  const answer = new MessageWriter();
  answer.begin(NLMSG_ERROR, 0, seq);
  answer.rawU32le(errno === "" ? 0 : -errnoOf(errno) >>> 0);
  for (const value of [16, type, seq, 0]) answer.rawU32le(value);
  answer.end();
  return answer.bytes().slice();
}
