import { createInterface } from "node:readline";
import { argv, stdin } from "node:process";
import {
  PACKET_PROGRAMS,
  type PacketProgram,
  TcAttachment,
} from "../../../../backends/ebpf/programs/tc_attach.ts";
import { Pins } from "../../../../backends/ebpf/programs/pins.ts";
import { Devices } from "../../../../backends/ebpf/programs/devices.ts";
import { PeerDevices } from "../../../../backends/ebpf/programs/peer_devices.ts";
import { loadPinned } from "../../../../backends/ebpf/programs/objects.ts";
import type { BpfProgram } from "../../../../ffi/bpf/program.ts";
import { NETLINK_ROUTE } from "../../../../ffi/netlink/constants.ts";
import { NetlinkClient } from "../../../../ffi/netlink/client.ts";
import { smallOptions } from "../../../backends/ebpf/options.ts";

/**
 * Attaches the tc programs to the devices of the network namespace it was started in, until its standard
 * input ends:
 *   attach_driver.ts BPFFS tcx|clsact [DEVICE...]
 * Answers the request "follow" with what was not attached, and "reports" with all reports so far.
 */
const [, , bpffs = "", method, ...chosen] = argv;
const pins = new Pins(bpffs, smallOptions.capacity);
pins.make();
const object = loadPinned(pins, smallOptions.capacity, "tc");
const programs = new Map<PacketProgram, BpfProgram>(
  PACKET_PROGRAMS.map((name) => [name, object.program(name)]),
);
const attachment = new TcAttachment(programs, pins, NetlinkClient.open(NETLINK_ROUTE), method === "tcx");
const reports: string[] = [];
using devices = new Devices(
  attachment,
  { devices: pins.openMap("devices"), device_addresses: pins.openMap("device_addresses") },
  new PeerDevices(NetlinkClient.open(NETLINK_ROUTE), attachment.usesLinks, 0),
  NetlinkClient.open(NETLINK_ROUTE),
  (report) => reports.push(report),
);
for await (const line of createInterface({ input: stdin })) {
  const answer = JSON.parse(line) === "reports" ? reports : await devices.follow({
    devices: chosen,
    localTraffic: [{ mode: "interface-prefix", prefix: "pod" }],
  });
  console.log(JSON.stringify(answer));
}
