import { BPF_TCX, countPrograms } from "../../../ffi/bpf/query.ts";
import { KernelError } from "../../../ffi/errors.ts";
import { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { NETLINK_NETFILTER } from "../../../ffi/netlink/constants.ts";
import { decodeQdisc, writeDumpQdiscs } from "../../../ffi/netlink/rtnetlink/tc.ts";
import { hasNetdevEgressChains } from "../netfilter/egress_chains.ts";
import type { NetworkDevice } from "./network_device.ts";
import { TcFilters } from "./tc_filters.ts";

/** A device must have had nothing attached for so long. In this interval it is checked again. */
export const SETTLED_MS = 5000;

/** Qdiscs of every device without a queue, and those for packets that arrive. */
const HARMLESS_QDISCS: ReadonlySet<string> = new Set(["noqueue", "ingress", "clsact"]);

/**
 * Finds the veth devices whose packets may be put on the other side of the pair at once (bpf_redirect_peer). They skip
 * everything on this side then, so nothing may be attached there for packets that leave: no queueing discipline (CNI
 * plugins limit bandwidth with one), no filter or program of others, no chain of nf_tables. The kernel sends no
 * notifications about programs, so this is checked again and again; and a new device waits, because what creates it may
 * still attach something.
 */
export class PeerDevices implements Disposable {
  readonly #client: NetlinkClient;
  readonly #filters: TcFilters;
  /** Our own programs that are attached to each device by links. */
  readonly #own: number;
  readonly #netfilter: NetlinkClient;
  readonly #settledMs: number;
  /** Time at which nothing was attached to a device for the first time (performance.now()), by index. */
  #since = new Map<number, number>();

  /**
   * @param usesLinks our programs are attached by links.
   * @param settledMs time for which a device must have had nothing attached.
   */
  constructor(client: NetlinkClient, usesLinks: boolean, settledMs: number = SETTLED_MS) {
    this.#client = client;
    this.#filters = new TcFilters(client);
    this.#own = usesLinks ? 1 : 0;
    this.#settledMs = settledMs;
    this.#netfilter = NetlinkClient.open(NETLINK_NETFILTER);
  }

  /**
   * Checks the devices. Nothing is certain if the kernel does not answer, so none may be skipped then.
   * @returns indexes of those that may be skipped.
   */
  async update(devices: readonly NetworkDevice[]): Promise<ReadonlySet<number>> {
    const now = performance.now();
    const candidates = devices.filter(({ kind, isLowerElsewhere }) => kind === "veth" && isLowerElsewhere);
    const before = this.#since;
    this.#since = new Map();
    for (const index of await this.#unattached(candidates.map(({ index }) => index))) {
      this.#since.set(index, before.get(index) ?? now);
    }
    return new Set(
      [...this.#since].filter(([, since]) => now - since >= this.#settledMs).map(([index]) => index),
    );
  }

  [Symbol.dispose](): void {
    this.#netfilter[Symbol.dispose]();
  }

  async #unattached(indexes: readonly number[]): Promise<readonly number[]> {
    if (indexes.length === 0) return [];
    try {
      if (await hasNetdevEgressChains(this.#netfilter)) return [];
      const qdiscs = (await this.#client.dump("list queueing disciplines", writeDumpQdiscs))
        .map(({ payload }) => decodeQdisc(payload));
      const queued = new Set(
        qdiscs.filter(({ kind }) => !HARMLESS_QDISCS.has(kind)).map(({ index }) => index),
      );
      const filtered = new Set(qdiscs.filter(({ kind }) => kind === "clsact").map(({ index }) => index));
      const found: number[] = [];
      for (const index of indexes) {
        if (queued.has(index) || countPrograms(index, BPF_TCX.EGRESS) > this.#own) continue;
        if (filtered.has(index) && await this.#filters.hasForeignEgress(index)) continue;
        found.push(index);
      }
      return found;
    } catch (error) {
      if (error instanceof KernelError) return [];
      throw error;
    }
  }
}
