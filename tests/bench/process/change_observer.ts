import { IpvsConnection } from "../../../backends/ipvs/protocol/connection.ts";
import type { VirtualServerId } from "../../../backends/ipvs/servers/virtual_server.ts";
import { NFT_MSG_NEWGEN } from "../../../backends/nf_tables/constants.ts";
import { NETLINK_NETFILTER } from "../../../ffi/netlink/constants.ts";
import { messages } from "../../../ffi/netlink/reader.ts";
import { NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import { NFNLGRP_NFTABLES } from "../../../ffi/netlink/nfnetlink.ts";
import { addressOf } from "../../backends/plans.ts";
import { clusterIP } from "../cluster.ts";
import type { MeasuredMode } from "../mode.ts";

/** A change of a service, as the benchmark expects it. */
export interface ExpectedChange {
  readonly service: number;
  /** Number of endpoints that get new connections once the change is in force. */
  readonly endpoints: number;
}

/** Observes from outside the process when a change is in force. */
export interface ChangeObserver extends Disposable {
  /** Call this before the change is made. Resolves with the time it is in force, on the clock of performance.now(). */
  next(change: ExpectedChange): Promise<number>;
}

const TIMEOUT_MS = 10_000;

export const changeObservers: Readonly<Record<MeasuredMode, () => Promise<ChangeObserver>>> = {
  nftables: () => Promise.resolve(new CommitListener()),
  iptables: () => Promise.resolve(new CommitListener()),
  ipvs: async () => new RealServerPoll(await IpvsConnection.open()),
};

/** Receives a notification of every nf_tables transaction in this network namespace. */
class CommitListener implements ChangeObserver {
  readonly #socket = NetlinkSocket.open(NETLINK_NETFILTER, { receiveBuffer: 512 * 2 ** 20 });

  constructor() {
    this.#socket.joinGroup(NFNLGRP_NFTABLES);
  }

  async next(): Promise<number> {
    while (this.#socket.receive() !== undefined);
    for (;;) {
      if (!await this.#socket.readable(TIMEOUT_MS)) throw new Error("no change within 10 s");
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

/** Polls IPVS every millisecond, because IPVS sends no notifications. */
class RealServerPoll implements ChangeObserver {
  constructor(private readonly connection: IpvsConnection) {}

  async next({ service, endpoints }: ExpectedChange): Promise<number> {
    const deadline = performance.now() + TIMEOUT_MS;
    do {
      await new Promise((resolve) => setTimeout(resolve, 1));
      const found = await this.connection.realServers(decodeVirtualServer(service));
      if (found.filter(({ weight }) => weight > 0).length === endpoints) return performance.now();
    } while (performance.now() < deadline);
    throw new Error("no change within 10 s");
  }

  [Symbol.dispose](): void {
    this.connection[Symbol.dispose]();
  }
}

/** Virtual server of the ClusterIP of a service. */
export function decodeVirtualServer(service: number): VirtualServerId {
  return { family: "IPv4", protocol: "TCP", address: addressOf(clusterIP(service)), port: 80 };
}
