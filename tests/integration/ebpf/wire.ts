import assert from "node:assert/strict";
import { LineProcess } from "./line_process.ts";
import type { PacketNode } from "./packet_node.ts";

const script = new URL("./wire.py", import.meta.url).pathname;
const finishChecksums = new URL("./finish_checksums.py", import.meta.url).pathname;

/** Long enough for what comes, and for what does not. */
const PATIENCE_SECONDS = 5;
const SILENCE_SECONDS = 0.1;

/** Where the node's devices end: eth0 here as `lan`, pod0 as `pods`. */
export type End = "lan" | "pods" | "tun0";

/**
 * Packets that really arrive and leave, by a node's devices with the programs on them. Besides those of PacketNode the
 * node has one without a link's header, which test runs do not know:
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

  static async of(node: PacketNode): Promise<Wire> {
    const { namespace } = node;
    const command = ["netns", "exec", namespace.name, "python3", script, "tun0", "lan", "pods"];
    const wire = new Wire(node, new LineProcess("ip", command));
    await wire.isSilent("tun0");
    for (const line of wiring) await namespace.run("ip", ...line.split(" "));
    // Nobody else does: the ends are no devices that could.
    await namespace.run("python3", finishChecksums, "eth0", "pod0");
    await node.attach("tun0", "l3");
    for (const device of ["eth0", "pod0"]) await node.attach(device, "l2");
    return wire;
  }

  /**
   * A packet arrives by tun0.
   * @param what an expression of Scapy.
   * @param unfinished it has the pseudo header's sum where its checksum is to be, as if from a virtual machine.
   */
  async writes(what: string, unfinished?: Checksum): Promise<void> {
    const packet = await this.#node.build(what);
    await this.#process.ask({ do: "write", packet, ...(unfinished === undefined ? {} : { unfinished }) });
  }

  /** A frame arrives from another machine. */
  async sends(device: End, frame: string): Promise<void> {
    await this.#process.ask({ do: "send", device, frame: await this.#node.build(frame) });
  }

  /** The next packet that the node sends is this one, byte by byte. */
  async gets(device: End, expected: string): Promise<void> {
    const packet = await this.#read(device, PATIENCE_SECONDS);
    assert(packet !== null, `nothing came by ${device}`);
    const wanted = await this.#node.build(expected);
    if (packet === wanted) return;
    const isL3 = device === "tun0";
    const [got, want] = [await this.#node.show(packet, isL3), await this.#node.show(wanted, isL3)];
    assert.fail(`${device}:\n${got}\nwanted:\n${want}`);
  }

  async isSilent(device: End): Promise<void> {
    assert.equal(await this.#read(device, SILENCE_SECONDS), null);
  }

  /** The node itself answers every datagram. */
  async echoes(address: string, port: number): Promise<void> {
    await this.#process.ask({ do: "echo", address, port });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }

  async #read(device: End, seconds: number): Promise<string | null> {
    return (await this.#process.ask({ do: "read", device, seconds })).packet;
  }
}

/** Where what is summed up starts, and where from there the checksum is. */
export type Checksum = readonly [start: number, offset: number];

const wiring = [
  "link set tun0 up",
  "address add 192.168.9.1/24 dev tun0",
  "address add fd00:9::1/64 dev tun0 nodad",
];
