import { planOf } from "../../../../backends/plans.ts";
import type { PacketNode } from "./packet_node.ts";

/** Services with the same endpoint: a client's port can be in use with it through only one of them. */
export const webs = [10, 11, 12].map((host) =>
  planOf({ name: `web-${host}`, clusterIP: `10.96.0.${host}:80`, endpoints: ["10.1.0.1:8080"] })
);

/** First sequence numbers of the two sides. */
export const CLIENT = 1000;
export const ENDPOINT = 0xffff_fff0;

/** Numbers of a segment that differ from those of the conversation. */
interface Changes {
  readonly seq?: number;
  readonly ack?: number;
  /** Bytes of payload. */
  readonly bytes?: number;
}

/**
 * A TCP connection of a pod through one of `webs`, which sends segments with the right numbers: those of a side go on
 * behind what it has sent, and acknowledge all that the other side has sent.
 */
export class Conversation {
  readonly #node: PacketNode;
  readonly #host: number;
  readonly #next = { client: CLIENT, endpoint: ENDPOINT };

  constructor(node: PacketNode, host = 10) {
    this.#node = node;
    this.#host = host;
  }

  /** Starts with `webs`, and sends segments that are written as `SIDE FLAGS`. */
  static async of(node: PacketNode, ...segments: readonly string[]): Promise<Conversation> {
    await node.program(webs);
    const conversation = new Conversation(node);
    for (const segment of segments) await conversation.send(segment);
    return conversation;
  }

  /** A connection that is established. */
  static established(node: PacketNode): Promise<Conversation> {
    return Conversation.of(node, "client S", "endpoint SA", "client A");
  }

  /** Sends a segment of a side, and checks that it is translated. */
  async send(segment: string, changes: Changes = {}): Promise<void> {
    const [side, flags = ""] = segment.split(" ");
    const [mine, other] = side === "client"
      ? ["client", "endpoint"] as const
      : ["endpoint", "client"] as const;
    const { seq = this.#next[mine], ack = this.#next[other], bytes = 0 } = changes;
    if (changes.seq === undefined) {
      this.#next[mine] = (seq + bytes + (/[SF]/.test(flags) ? 1 : 0)) >>> 0;
    }
    const tail = `flags="${flags}", seq=${seq}, ack=${flags.includes("A") ? ack : 0})/(b"x" * ${bytes})`;
    const service = `10.96.0.${this.#host}`;
    const [packet, translated] = side === "client"
      ? [
        `IP(src="10.1.0.2", dst="${service}")/TCP(sport=40000, dport=80, ${tail}`,
        `IP(src="10.1.0.2", dst="10.1.0.1", ttl=63)/TCP(sport=40000, dport=8080, ${tail}`,
      ]
      : [
        `IP(src="10.1.0.1", dst="10.1.0.2")/TCP(sport=8080, dport=40000, ${tail}`,
        `IP(src="${service}", dst="10.1.0.2", ttl=63)/TCP(sport=80, dport=40000, ${tail}`,
      ];
    await this.#node.translates(packet, translated, { device: "pod0" });
  }
}
