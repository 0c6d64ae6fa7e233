import assert from "node:assert/strict";
import { FAMILIES, type Family } from "../../../../core/net/protocol.ts";
import { machines, podBridge, podGateways, secondNodeAddress } from "../../../lab/topology.ts";
import { NetworkNamespace, run } from "../../support/network_namespace.ts";
import { type Listing, parseListing } from "./listing.ts";

/**
 * A network namespace with the interfaces and addresses of the lab's node, and a directory for files of its
 * programs. Each compared proxy has its own.
 */
export class NodeNamespace implements AsyncDisposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "iptables-node-" });

  private constructor(readonly namespace: NetworkNamespace) {}

  static async make(): Promise<NodeNamespace> {
    const node = new NodeNamespace(await NetworkNamespace.make());
    try {
      await node.#wire();
      return node;
    } catch (error) {
      await node[Symbol.asyncDispose]();
      throw error;
    }
  }

  spawn(_on: "node", command: readonly string[], options: Deno.CommandOptions = {}): Deno.ChildProcess {
    return new Deno.Command("ip", { ...options, args: ["netns", "exec", this.namespace.name, ...command] })
      .spawn();
  }

  async run(_on: "node", command: readonly string[]): Promise<Finished> {
    const process = this.spawn("node", command, { stdin: "null", stdout: "piped", stderr: "piped" });
    const { code, stdout, stderr } = await process.output();
    const decoder = new TextDecoder();
    return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  }

  /** The rules as stock iptables of the nf_tables flavour lists them. @throws when it prints a warning. */
  async listings(): Promise<Readonly<Record<Family, Listing>>> {
    const [IPv4, IPv6] = await Promise.all([this.save("iptables"), this.save("ip6tables")]);
    return { IPv4: parseListing(IPv4), IPv6: parseListing(IPv6) };
  }

  /** The output of iptables-save. @throws when it prints a warning. */
  async save(command: "iptables" | "ip6tables"): Promise<string> {
    const { code, stdout, stderr } = await this.run("node", [`${command}-nft-save`]);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: "" }, `${command}-nft-save`);
    return stdout;
  }

  /** Reports whether both families have a rule with this comment in KUBE-SERVICES, which is written last. */
  async hasService(comment: string): Promise<boolean> {
    const found = await Promise.all(["iptables-nft", "ip6tables-nft"].map(async (command) => {
      const { stdout } = await this.run("node", [command, "-w", "-t", "nat", "-S", "KUBE-SERVICES"]);
      return stdout.includes(comment);
    }));
    return found.every(Boolean);
  }

  /**
   * Resets rules and sysctls as if no proxy had run.
   * @param different sysctls that differ from their defaults.
   */
  async forget(different: Readonly<Record<string, number>> = {}): Promise<void> {
    await this.namespace.run("nft", "flush", "ruleset");
    const values = Object.entries({ ...initialSysctls, ...different }).map(([key, value]) =>
      `${key}=${value}`
    );
    await this.namespace.run("sysctl", "-qew", ...values);
  }

  async routesLocalnet(): Promise<string> {
    return await this.namespace.run("sysctl", "-n", "net.ipv4.conf.all.route_localnet");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pid of (await run("ip", "netns", "pids", this.namespace.name)).split("\n")) {
      if (pid !== "") Deno.kill(Number(pid), "SIGKILL");
    }
    await this.namespace[Symbol.asyncDispose]();
    Deno.removeSync(this.directory, { recursive: true });
  }

  async #wire(): Promise<void> {
    const lines = [
      "link set lo up",
      "link add eth0 type veth peer name lan",
      "link set lan up",
      "link set eth0 up",
      `link add ${podBridge} type bridge`,
      `link set ${podBridge} up`,
    ];
    for (const family of FAMILIES) {
      const width = family === "IPv4" ? 24 : 64;
      lines.push(
        `address add ${machines.node.addresses[family]}/${width} dev eth0`,
        `address add ${secondNodeAddress[family]}/${width} dev eth0`,
        `address add ${podGateways.here[family]}/${width} dev ${podBridge}`,
      );
    }
    const batch = `${this.directory}/wiring`;
    Deno.writeTextFileSync(batch, lines.join("\n") + "\n");
    await run("ip", "-n", this.namespace.name, "-batch", batch);
  }
}

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The values on a new node. */
const initialSysctls = {
  "net.netfilter.nf_conntrack_tcp_be_liberal": 0,
  "net.ipv4.conf.all.route_localnet": 0,
};
