import { CT_GET, CT_NEW } from "../../../conntrack/ctnetlink.ts";
import * as ct from "../../../conntrack/ctnetlink.ts";
import { decodeFlow } from "../../../conntrack/flow.ts";
import { AF_INET, IPPROTO_UDP } from "../../../../ffi/inet.ts";
import { NETLINK_NETFILTER, NLM_F_REQUEST } from "../../../../ffi/netlink/constants.ts";
import { nfgenmsg } from "../../../../ffi/netlink/nfnetlink.ts";
import { messages } from "../../../../ffi/netlink/reader.ts";
import { MessageWriter } from "../../../../ffi/netlink/writer.ts";
import { NetlinkQuery } from "../../../../ffi/socket/netlink_query.ts";

/** The two ends of a flow as the relay sees it; addresses have one character per byte. */
export interface SeenFlow {
  readonly client: string;
  readonly clientPort: number;
  /** The address of this node, and the port of the listener, that the kernel redirected the flow to. */
  readonly local: string;
  readonly localPort: number;
}

export interface OriginalDestination {
  readonly address: string;
  readonly port: number;
}

/** Asks conntrack for the destination that UDP flows had before the kernel redirected them. Takes CAP_NET_ADMIN. */
export class ConntrackLookup implements Disposable {
  readonly #query = new NetlinkQuery(NETLINK_NETFILTER);
  readonly #message = new MessageWriter(256);
  readonly #family: number;
  #seq = 0;

  /** @param family AF_INET or AF_INET6. @throws KernelError if the kernel lacks nfnetlink. */
  constructor(family: number) {
    this.#family = family;
  }

  /** Returns the destination; undefined if conntrack does not know the flow. */
  find(flow: SeenFlow): OriginalDestination | undefined {
    this.#write(flow);
    const datagram = this.#query.ask(this.#message.bytes());
    if (datagram === undefined) return undefined;
    for (const { type, seq, payload } of messages(datagram)) {
      if (type !== CT_NEW || seq !== this.#seq) continue;
      const entry = decodeFlow(payload);
      return entry === undefined ? undefined : { address: entry.destination, port: entry.destinationPort };
    }
    return undefined;
  }

  [Symbol.dispose](): void {
    this.#query[Symbol.dispose]();
  }

  /** `conntrack -G` by the tuple of the replies, which is the one that this node sees. */
  #write({ client, clientPort, local, localPort }: SeenFlow): void {
    const [source, destination] = this.#family === AF_INET
      ? [ct.CTA_IP_V4_SRC, ct.CTA_IP_V4_DST]
      : [ct.CTA_IP_V6_SRC, ct.CTA_IP_V6_DST];
    const writer = this.#message;
    this.#seq = (this.#seq + 1) >>> 0;
    writer.reset();
    writer.begin(CT_GET, NLM_F_REQUEST, this.#seq);
    nfgenmsg(writer, this.#family, 0);
    writer.nest(ct.CTA_TUPLE_REPLY, () => {
      writer.nest(ct.CTA_TUPLE_IP, () => {
        writer.attrLatin1(source, local);
        writer.attrLatin1(destination, client);
      });
      writer.nest(ct.CTA_TUPLE_PROTO, () => {
        writer.attrU8(ct.CTA_PROTO_NUM, IPPROTO_UDP);
        writer.attrU16be(ct.CTA_PROTO_SRC_PORT, localPort);
        writer.attrU16be(ct.CTA_PROTO_DST_PORT, clientPort);
      });
    });
    writer.end();
  }
}
