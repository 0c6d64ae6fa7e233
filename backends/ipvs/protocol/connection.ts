import { errnoOf } from "../../../ffi/errno.ts";
import { KernelError } from "../../../ffi/errors.ts";
import { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { NETLINK_GENERIC } from "../../../ffi/netlink/constants.ts";
import { rejectionError } from "../../../ffi/netlink/exchange.ts";
import { resolveFamily } from "../../../ffi/netlink/genetlink.ts";
import type { OpenNetlink } from "../../../ffi/netlink/transport.ts";
import {
  formatVirtualServer,
  type FoundRealServer,
  type FoundVirtualServer,
  type VirtualServerId,
} from "../servers/virtual_server.ts";
import { IPVS_GENL_NAME } from "./constants.ts";
import { realServerOf, timeoutsOf, virtualServerOf } from "./decode.ts";
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
import { loadModule } from "./modules.ts";

/** A command the kernel refused, and why. */
export interface RefusedCommand {
  readonly command: IpvsCommand;
  /** Says what the command was to do. */
  readonly error: KernelError;
}

/** Our way to IPVS in this network namespace. One call at a time. */
export class IpvsConnection implements Disposable {
  readonly #client: NetlinkClient;
  readonly #family: number;

  /**
   * Makes the kernel load IPVS where it is a module.
   * @param open the seam for tests.
   * @throws KernelError that says how to get IPVS when the kernel does not have it.
   */
  static async open(open?: OpenNetlink): Promise<IpvsConnection> {
    const client = NetlinkClient.open(NETLINK_GENERIC, open);
    try {
      return new IpvsConnection(client, await familyOf(client));
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
   * Makes changes, in order and each by itself: there are no transactions. A few are one system call.
   * @param commands read as they are sent, so that they need not all be there at once.
   * @returns what was refused; everything else is in force.
   * @throws KernelError EPERM when all of it is refused, or when the kernel cannot be asked.
   */
  async perform(commands: Iterable<IpvsCommand>): Promise<readonly RefusedCommand[]> {
    const rejected = await this.#client.pipeline(
      commands,
      (message, seq, command) => writeCommand(message, this.#family, seq, command),
    );
    return rejected.map(({ command, answer }) => {
      const error = rejectionError(inWords(command), answer);
      if (error.errno === errnoOf("EPERM")) throw error;
      return { command, error };
    });
  }

  /** All virtual servers of this network namespace but those of firewall marks. Lets other work go on meanwhile. */
  async virtualServers(): Promise<FoundVirtualServer[]> {
    const found: FoundVirtualServer[] = [];
    await this.#client.dumpEach(
      "list virtual servers",
      (message, seq) => writeDumpServers(message, this.#family, seq),
      ({ payload }) => {
        const server = virtualServerOf(payload);
        if (server !== undefined) found.push(server);
      },
      { inBackground: true },
    );
    return found;
  }

  /** Those of one virtual server; empty when that is not there. */
  async realServers(server: VirtualServerId): Promise<FoundRealServer[]> {
    const found: FoundRealServer[] = [];
    await this.#client.dumpEach(
      `list real servers of virtual server ${formatVirtualServer(server)}`,
      (message, seq) => writeDumpRealServers(message, this.#family, seq, server),
      ({ payload }) => found.push(realServerOf(payload)),
    );
    return found;
  }

  /** Removes every virtual server of this network namespace, those of others too. */
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
    return timeoutsOf(answer.payload);
  }

  /** Those that are 0 stay as they are. */
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

async function familyOf(client: NetlinkClient): Promise<number> {
  const advice = "IPVS is in the kernel's module ip_vs";
  try {
    return await resolveFamily(client, IPVS_GENL_NAME, advice);
  } catch (error) {
    if (!(error instanceof KernelError) || error.errno !== errnoOf("ENOENT")) throw error;
    const problem = loadModule("ip_vs");
    const failed = problem === undefined ? "" : `, which cannot be loaded ${problem}`;
    return await resolveFamily(
      client,
      IPVS_GENL_NAME,
      `${advice}${failed}. Load it on the node: modprobe ip_vs (a kernel has it with CONFIG_IP_VS)`,
    );
  }
}
