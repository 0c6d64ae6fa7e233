import assert from "node:assert/strict";
import { LineProcess } from "../line_process.ts";
import type { PacketNode } from "./packet_node.ts";

/** Far end of a device of the node: `lan` of eth0, `pods` of pod0. */
export type End = "lan" | "pods" | "tun0";

/**
 * Sends and receives real packets through a node's devices, with the programs attached. Adds an L3 device to
 * those of PacketNode, because test runs always have an Ethernet header:
 *
 *   clients 192.168.9.0/24 and fd00:9::/64 ── tun0
 */
export class Wire implements AsyncDisposable {
  readonly #node: PacketNode;
  readonly #process: LineProcess;

  private constructor(node: PacketNode, process: LineProcess) {
    this.#node = node;
    this.#process = process;
  }

  static async connect(node: PacketNode): Promise<Wire> {
    const { namespace } = node;
    const command = ["netns", "exec", namespace.name, "python3", SCRIPT, "tun0", "lan", "pods"];
    const wire = new Wire(node, new LineProcess("ip", command));
    await wire.expectSilence("tun0");
    for (const line of WIRING) await namespace.run("ip", ...line.split(" "));
    // The kernel completes checksums, because the far ends are no devices that could.
    await namespace.run("python3", COMPLETE_CHECKSUMS, "eth0", "pod0");
    await node.attach("tun0", "l3");
    for (const device of ["eth0", "pod0"]) await node.attach(device, "l2");
    return wire;
  }

  /**
   * Injects a packet into tun0.
   * @param packet a Scapy expression.
   * @param incomplete position of a checksum field that holds only the sum of the pseudo header, as packets
   * of virtual machines have it.
   */
  async inject(packet: string, incomplete?: ChecksumPosition): Promise<void> {
    const built = await this.#node.build(packet);
    await this.#process.ask({
      do: "write",
      packet: built,
      ...(incomplete === undefined ? {} : { incomplete }),
    });
  }

  /** Sends a frame from another host. */
  async send(device: End, frame: string): Promise<void> {
    await this.#process.ask({ do: "send", device, frame: await this.#node.build(frame) });
  }

  /** Checks that the next packet that the node sends is exactly this one. */
  async expect(device: End, expected: string): Promise<void> {
    await this.#expect(device, expected, (packet) => packet);
  }

  /** Checks the next packet through tun0, an IPv4 packet of the stack, apart from its identification. */
  async expectFromStack(expected: string): Promise<void> {
    await this.#expect("tun0", expected, withoutIdentification);
  }

  async #expect(device: End, expected: string, compared: (packet: string) => string): Promise<void> {
    const packet = await this.#read(device, RECEIVE_SECONDS);
    assert(packet !== null, `no packet came through ${device}`);
    const expectedPacket = await this.#node.build(expected);
    if (compared(packet) === compared(expectedPacket)) return;
    const isL3 = device === "tun0";
    const [got, want] = [await this.#node.show(packet, isL3), await this.#node.show(expectedPacket, isL3)];
    assert.fail(`${device}:\n${got}\nexpected:\n${want}`);
  }

  async expectSilence(device: End): Promise<void> {
    assert.equal(await this.#read(device, SILENCE_SECONDS), null);
  }

  /** Starts a UDP server on the node that echoes every datagram. */
  async startEcho(address: string, port: number): Promise<void> {
    await this.#process.ask({ do: "echo", address, port });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }

  async #read(device: End, seconds: number): Promise<string | null> {
    return (await this.#process.ask({ do: "read", device, seconds })).packet;
  }
}

/** Removes the identification and the checksum, which covers it, from an IPv4 header in hexadecimal digits. */
function withoutIdentification(packet: string): string {
  return packet.slice(0, 8) + packet.slice(12, 20) + packet.slice(24);
}

/** Start of the checksummed bytes, and offset of the checksum from there. */
export type ChecksumPosition = readonly [start: number, offset: number];

const SCRIPT = new URL("./wire.py", import.meta.url).pathname;
const COMPLETE_CHECKSUMS = new URL("../complete_checksums.py", import.meta.url).pathname;

/** Time limit for a packet that is expected, and waiting time for one that is not. */
const RECEIVE_SECONDS = 5;
const SILENCE_SECONDS = 0.1;

const WIRING = [
  "link set tun0 up",
  "address add 192.168.9.1/24 dev tun0",
  "address add fd00:9::1/64 dev tun0 nodad",
];
