import { errnoOf } from "../../../ffi/errno.ts";
import { KernelError } from "../../../ffi/errors.ts";
import { NETLINK_GENERIC } from "../../../ffi/netlink/constants.ts";
import { resolveFamily } from "../../../ffi/netlink/genetlink.ts";
import { ManyRequests } from "../../../ffi/netlink/pipeline.ts";
import type { NetlinkMessage } from "../../../ffi/netlink/reader.ts";
import { dumpEach, refusal, request } from "../../../ffi/netlink/request.ts";
import { NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import type { NetlinkTransport } from "../../../ffi/netlink/transport.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import {
  inWords,
  type IpvsCommand,
  type IpvsTimeouts,
  writeCommand,
  writeDumpRealServers,
  writeDumpServers,
  writeFlush,
  writeGetTimeouts,
  writeTimeouts,
} from "./encode.ts";
import { realServerOf, timeoutsOf, virtualServerOf } from "./decode.ts";
import { IPVS_GENL_NAME } from "./constants.ts";
import { loadModule } from "./modules.ts";
import {
  formatVirtualServer,
  type FoundRealServer,
  type FoundVirtualServer,
  type VirtualServerId,
} from "../servers/virtual_server.ts";

/** A command the kernel refused, and why. */
export interface RefusedCommand {
  readonly command: IpvsCommand;
  /** Says what the command was to do. */
  readonly error: KernelError;
}

/** More than any single request is long. */
const REQUEST_BYTES = 256;

/** Our way to IPVS in this network namespace. One call at a time. */
export class IpvsConnection implements Disposable {
  readonly #transport: NetlinkTransport;
  readonly #family: number;
  readonly #many: ManyRequests;
  readonly #writer = new MessageWriter(REQUEST_BYTES);
  #seq: number;

  /**
   * Makes the kernel load IPVS where it is a module.
   * @param openTransport makes a socket of NETLINK_GENERIC: the seam for tests.
   * @throws KernelError that says how to get IPVS when the kernel does not have it.
   */
  static async open(openTransport: () => NetlinkTransport = openGeneric): Promise<IpvsConnection> {
    const transport = openTransport();
    try {
      return new IpvsConnection(transport, await familyOf(transport));
    } catch (error) {
      transport[Symbol.dispose]();
      throw error;
    }
  }

  private constructor(transport: NetlinkTransport, family: number) {
    this.#transport = transport;
    this.#family = family;
    this.#seq = FIRST_SEQ;
    this.#many = new ManyRequests(transport, this.#nextSeq);
  }

  /**
   * Makes changes, in order and each by itself: there are no transactions. A few are one system call.
   * @param commands read as they are sent, so that they need not all be there at once.
   * @returns what was refused; everything else is in force.
   * @throws KernelError EPERM when all of it is refused, or when the kernel cannot be asked.
   */
  async perform(commands: Iterable<IpvsCommand>): Promise<readonly RefusedCommand[]> {
    const write = (writer: MessageWriter, command: IpvsCommand, seq: number) =>
      writeCommand(writer, this.#family, seq, command);
    const refused = await this.#many.send(commands, write);
    return refused.map(({ asked, answer }) => {
      const error = refusal(inWords(asked), answer);
      if (error.errno === errnoOf("EPERM")) throw error;
      return { command: asked, error };
    });
  }

  /** All virtual servers of this network namespace but those of firewall marks. Lets other work go on meanwhile. */
  async virtualServers(): Promise<FoundVirtualServer[]> {
    const found: FoundVirtualServer[] = [];
    this.#writer.reset();
    writeDumpServers(this.#writer, this.#family, this.#nextSeq());
    const visit = ({ payload }: NetlinkMessage) => {
      const server = virtualServerOf(payload);
      if (server !== undefined) found.push(server);
    };
    await dumpEach(this.#transport, this.#writer, "list virtual servers", visit, { inBackground: true });
    return found;
  }

  /** Those of one virtual server; empty when that is not there. */
  async realServers(server: VirtualServerId): Promise<FoundRealServer[]> {
    const found: FoundRealServer[] = [];
    this.#writer.reset();
    writeDumpRealServers(this.#writer, this.#family, this.#nextSeq(), server);
    const operation = `list real servers of virtual server ${formatVirtualServer(server)}`;
    await dumpEach(
      this.#transport,
      this.#writer,
      operation,
      ({ payload }) => found.push(realServerOf(payload)),
    );
    return found;
  }

  /** Removes every virtual server of this network namespace, those of others too. */
  async flush(): Promise<void> {
    this.#writer.reset();
    writeFlush(this.#writer, this.#family, this.#nextSeq());
    await request(this.#transport, this.#writer, "remove all virtual servers");
  }

  async timeouts(): Promise<IpvsTimeouts> {
    this.#writer.reset();
    writeGetTimeouts(this.#writer, this.#family, this.#nextSeq());
    const operation = "read the timeouts of IPVS";
    const [answer] = await request(this.#transport, this.#writer, operation);
    if (answer === undefined) throw new KernelError(operation, errnoOf("EPROTO"));
    return timeoutsOf(answer.payload);
  }

  /** Those that are 0 stay as they are. */
  async setTimeouts(timeouts: IpvsTimeouts): Promise<void> {
    this.#writer.reset();
    writeTimeouts(this.#writer, this.#family, this.#nextSeq(), timeouts);
    await request(this.#transport, this.#writer, "set the timeouts of IPVS");
  }

  [Symbol.dispose](): void {
    this.#transport[Symbol.dispose]();
  }

  readonly #nextSeq = (): number => this.#seq++;
}

/** After those of the questions for the family. */
const FIRST_SEQ = 3;

async function familyOf(transport: NetlinkTransport): Promise<number> {
  const advice = "IPVS is in the kernel's module ip_vs";
  try {
    return await resolveFamily(transport, IPVS_GENL_NAME, 1, advice);
  } catch (error) {
    if (!(error instanceof KernelError) || error.errno !== errnoOf("ENOENT")) throw error;
    const problem = loadModule("ip_vs");
    const failed = problem === undefined ? "" : `, which cannot be loaded ${problem}`;
    return await resolveFamily(
      transport,
      IPVS_GENL_NAME,
      2,
      `${advice}${failed}. Load it on the node: modprobe ip_vs (a kernel has it with CONFIG_IP_VS)`,
    );
  }
}

function openGeneric(): NetlinkTransport {
  return NetlinkSocket.open(NETLINK_GENERIC);
}
