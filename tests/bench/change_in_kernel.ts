import { IpvsConnection } from "../../backends/ipvs/protocol/connection.ts";
import type { VirtualServerId } from "../../backends/ipvs/servers/virtual_server.ts";
import { NFT_MSG_NEWGEN } from "../../backends/nf_tables/constants.ts";
import { NETLINK_NETFILTER } from "../../ffi/netlink/constants.ts";
import { messages } from "../../ffi/netlink/reader.ts";
import { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import { NFNLGRP_NFTABLES } from "../../ffi/netlink/nfnetlink.ts";
import { addressOf } from "../backends/plans.ts";
import { clusterIP } from "./cluster.ts";
import type { MeasuredMode } from "./mode.ts";

/** A change of a service, as its benchmark expects it. */
export interface ExpectedChange {
  readonly service: number;
  /** That get new connections once it is in force. */
  readonly endpoints: number;
}

/** Sees from outside when a change is in force. */
export interface ChangeInKernel extends Disposable {
  /** To be called before the change is made. @returns when it is in force, on the clock of performance.now(). */
  next(change: ExpectedChange): Promise<number>;
}

const LONGEST_CHANGE_MS = 10_000;

export const changesIn: Readonly<Record<MeasuredMode, () => Promise<ChangeInKernel>>> = {
  nftables: () => Promise.resolve(new CommitListener()),
  iptables: () => Promise.resolve(new CommitListener()),
  ipvs: async () => new RealServerPoll(await IpvsConnection.open()),
};

/** Hears of every nf_tables transaction in this network namespace. */
class CommitListener implements ChangeInKernel {
  readonly #socket = NetlinkSocket.open(NETLINK_NETFILTER, { receiveBuffer: 512 * 2 ** 20 });

  constructor() {
    this.#socket.joinGroup(NFNLGRP_NFTABLES);
  }

  async next(): Promise<number> {
    while (this.#socket.receive() !== undefined);
    for (;;) {
      if (!await this.#socket.readable(LONGEST_CHANGE_MS)) throw new Error("no change within 10 s");
      for (let datagram = this.#socket.receive(); datagram !== undefined; datagram = this.#socket.receive()) {
        for (const { type } of messages(datagram)) {
          if ((type & 0xff) === NFT_MSG_NEWGEN) return performance.now();
        }
      }
    }
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

/** IPVS tells nobody of changes, so it is asked every millisecond. */
class RealServerPoll implements ChangeInKernel {
  constructor(private readonly connection: IpvsConnection) {}

  async next({ service, endpoints }: ExpectedChange): Promise<number> {
    const deadline = performance.now() + LONGEST_CHANGE_MS;
    do {
      await new Promise((resolve) => setTimeout(resolve, 1));
      const found = await this.connection.realServers(virtualServerOf(service));
      if (found.filter(({ weight }) => weight > 0).length === endpoints) return performance.now();
    } while (performance.now() < deadline);
    throw new Error("no change within 10 s");
  }

  [Symbol.dispose](): void {
    this.connection[Symbol.dispose]();
  }
}

/** That of a service's ClusterIP. */
export function virtualServerOf(service: number): VirtualServerId {
  return { family: "IPv4", protocol: "TCP", address: addressOf(clusterIP(service)), port: 80 };
}
