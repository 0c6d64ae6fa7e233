import { describePlace } from "./places.ts";
import type { Client, Traffic } from "./traffic.ts";

/** An answer to a UDP flow by another pod than the one before. */
export interface Move {
  /** Client and flow: "traffic/client-x1: UDP ClusterIP". */
  readonly flow: string;
  readonly from: string;
  /** Time of the first answer of the other pod, in ms since the epoch. */
  readonly at: number;
}

const LOOK_EVERY_MS = 50;

/** Records when UDP flows move to other pods. */
export class UdpMoves implements Disposable {
  readonly moves: Move[] = [];
  readonly #pods = new Map<string, string>();
  readonly #timer: number;

  constructor(private readonly traffic: Traffic, private readonly clients: readonly Client[]) {
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    for (const { place, flows } of this.clients) {
      for (const { name } of flows.filter(({ kind }) => kind === "udp")) {
        const pod = this.traffic.answeredBy(place, name);
        const flow = `${describePlace(place)}: ${name}`;
        const before = this.#pods.get(flow);
        if (pod === undefined || pod === before) continue;
        if (before !== undefined) this.moves.push({ flow, from: before, at: Date.now() });
        this.#pods.set(flow, pod);
      }
    }
  }
}
