import { errnoOf } from "../../../ffi/errno.ts";
import { KernelError } from "../../../ffi/errors.ts";
import { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { NETLINK_GENERIC } from "../../../ffi/netlink/constants.ts";
import { rejectionError } from "../../../ffi/netlink/exchange.ts";
import { resolveFamily } from "../../../ffi/netlink/genetlink.ts";
import type { OpenNetlink } from "../../../ffi/netlink/transport.ts";
import {
  formatVirtualServer,
  type KernelRealServer,
  type KernelVirtualServer,
  type Statistics,
  type VirtualServerId,
} from "../servers/virtual_server.ts";
import { IPVS_GENL_NAME } from "./constants.ts";
import { decodeRealServer, decodeStatistics, decodeTimeouts, decodeVirtualServer } from "./decode.ts";
import {
  describeCommand,
  type IpvsCommand,
  type IpvsTimeouts,
  writeCommand,
  writeDumpRealServers,
  writeDumpServers,
  writeFlush,
  writeGetTimeouts,
  writeTimeouts,
} from "./encode.ts";
import { loadModule } from "./modules.ts";

/** A command that the kernel rejected. */
export interface RejectedCommand {
  readonly command: IpvsCommand;
  /** Its operation is the command: see describeCommand. */
  readonly error: KernelError;
}

/** Access to IPVS in this network namespace. One call at a time. */
export class IpvsConnection implements Disposable {
  readonly #client: NetlinkClient;
  readonly #family: number;

  /**
   * Loads the kernel module if necessary.
   * @param open the seam for tests.
   * @param load loads a kernel module, as `loadModule` does; the seam for tests.
   * @throws KernelError with advice when the kernel lacks IPVS.
   */
  static async open(open?: OpenNetlink, load: LoadModule = loadModule): Promise<IpvsConnection> {
    const client = NetlinkClient.open(NETLINK_GENERIC, open);
    try {
      return new IpvsConnection(client, await familyOf(client, load));
    } catch (error) {
      client[Symbol.dispose]();
      throw error;
    }
  }

  private constructor(client: NetlinkClient, family: number) {
    this.#client = client;
    this.#family = family;
  }

  /**
   * Performs commands in order, each on its own: IPVS has no transactions. Sends several per system call.
   * @param commands read as they are sent, so that they need not exist all at once.
   * @returns the rejected commands; all others are in force.
   * @throws KernelError when the request fails as a whole, and for EPERM.
   */
  async perform(commands: Iterable<IpvsCommand>): Promise<readonly RejectedCommand[]> {
    const rejected = await this.#client.pipeline(
      commands,
      (message, seq, command) => writeCommand(message, this.#family, seq, command),
    );
    return rejected.map(({ command, answer }) => {
      const error = rejectionError(describeCommand(command), answer);
      if (error.errno === errnoOf("EPERM")) throw error;
      return { command, error };
    });
  }

  /**
   * All virtual servers of this network namespace except those of firewall marks. Other work can run
   * meanwhile.
   */
  async virtualServers(): Promise<KernelVirtualServer[]> {
    const found: KernelVirtualServer[] = [];
    await this.#client.dumpEach(
      "list virtual servers",
      (message, seq) => writeDumpServers(message, this.#family, seq),
      ({ payload }) => {
        const server = decodeVirtualServer(payload);
        if (server !== undefined) found.push(server);
      },
      { inBackground: true },
    );
    return found;
  }

  /** The statistics of all virtual servers. Other work can run meanwhile. */
  async statistics(): Promise<readonly (readonly [VirtualServerId, Statistics])[]> {
    const found: (readonly [VirtualServerId, Statistics])[] = [];
    await this.#client.dumpEach(
      "read the statistics of virtual servers",
      (message, seq) => writeDumpServers(message, this.#family, seq),
      ({ payload }) => {
        const server = decodeVirtualServer(payload);
        if (server !== undefined) found.push([server, decodeStatistics(payload)]);
      },
      { inBackground: true },
    );
    return found;
  }

  /** The real servers of one virtual server; empty if it does not exist. */
  async realServers(server: VirtualServerId): Promise<KernelRealServer[]> {
    const found: KernelRealServer[] = [];
    await this.#client.dumpEach(
      `list real servers of virtual server ${formatVirtualServer(server)}`,
      (message, seq) => writeDumpRealServers(message, this.#family, seq, server),
      ({ payload }) => {
        found.push(decodeRealServer(payload));
      },
    );
    return found;
  }

  /** Removes every virtual server of this network namespace, foreign ones too. */
  async flush(): Promise<void> {
    await this.#client.request(
      "remove all virtual servers",
      (message, seq) => writeFlush(message, this.#family, seq),
    );
  }

  async timeouts(): Promise<IpvsTimeouts> {
    const operation = "read the timeouts of IPVS";
    const [answer] = await this.#client.request(
      operation,
      (message, seq) => writeGetTimeouts(message, this.#family, seq),
    );
    if (answer === undefined) throw new KernelError(operation, errnoOf("EPROTO"));
    return decodeTimeouts(answer.payload);
  }

  /** A timeout of 0 keeps the kernel's value. */
  async setTimeouts(timeouts: IpvsTimeouts): Promise<void> {
    await this.#client.request(
      "set the timeouts of IPVS",
      (message, seq) => writeTimeouts(message, this.#family, seq, timeouts),
    );
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
  }
}

type LoadModule = (name: string) => string | undefined;

async function familyOf(client: NetlinkClient, load: LoadModule): Promise<number> {
  const advice = "IPVS is in the kernel module ip_vs (CONFIG_IP_VS)";
  const fix = "modprobe ip_vs";
  try {
    return await resolveFamily(client, IPVS_GENL_NAME, { advice, fix });
  } catch (error) {
    if (!(error instanceof KernelError) || error.errno !== errnoOf("ENOENT")) throw error;
    const problem = load("ip_vs");
    const failed = problem === undefined ? "" : `, which could not be loaded ${problem}`;
    return await resolveFamily(client, IPVS_GENL_NAME, { advice: `${advice}${failed}`, fix });
  }
}
