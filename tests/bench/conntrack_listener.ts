import process from "node:process";
import { decodeFlow } from "../../backends/conntrack/flow.ts";
import { NETLINK_NETFILTER } from "../../ffi/netlink/constants.ts";
import { NFGENMSG_BYTES } from "../../ffi/netlink/nfnetlink.ts";
import { Notifications } from "../../ffi/netlink/notifications.ts";
import { attribute } from "../../ffi/netlink/reader.ts";
import { NetlinkSocket } from "../../ffi/netlink/socket.ts";

// Does what a process would that counts packets and bytes from conntrack's events: receives the event of each entry that
// is destroyed and reads its counters. Ends with its standard input, and prints what it received and its CPU time.

/** linux/netfilter/nfnetlink_compat.h, linux/netfilter/nfnetlink_conntrack.h */
const NFNLGRP_CONNTRACK_DESTROY = 3;
const CTA_COUNTERS_ORIG = 9;
const CTA_COUNTERS_REPLY = 10;
const CTA_COUNTERS_BYTES = 2;

let events = 0;
let lost = 0;
const bytesByDestination = new Map<string, number>();
const socket = NetlinkSocket.open(NETLINK_NETFILTER, { receiveBuffer: 8 * 1024 * 1024 });
socket.joinGroup(NFNLGRP_CONNTRACK_DESTROY);
using _notifications = new Notifications(socket, {
  each({ payload }) {
    const flow = decodeFlow(payload);
    if (flow === undefined) return;
    events++;
    let bytes = bytesByDestination.get(flow.destination) ?? 0;
    for (const counters of [CTA_COUNTERS_ORIG, CTA_COUNTERS_REPLY]) {
      bytes += Number(
        attribute(payload, counters, NFGENMSG_BYTES)?.attribute(CTA_COUNTERS_BYTES)?.u64be() ?? 0n,
      );
    }
    bytesByDestination.set(flow.destination, bytes);
  },
  missed: () => lost++,
});
const before = process.cpuUsage();
console.log("ready");
for await (const _chunk of Deno.stdin.readable);
const { user, system } = process.cpuUsage(before);
console.log(JSON.stringify({ events, lost, cpuSeconds: (user + system) / 1e6 }));
Deno.exit();
