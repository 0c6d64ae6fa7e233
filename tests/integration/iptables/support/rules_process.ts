import type { Family } from "../../../../core/net/protocol.ts";
import type { NetworkNamespace } from "../../support/network_namespace.ts";

/** Rules of one family by table, in their order. */
export type RulesOfTables = Readonly<Record<string, readonly string[]>>;

/** Runs rules_driver.ts in a namespace, and the stock tools beside it. */
export class RulesProcess {
  readonly #namespace: NetworkNamespace;
  readonly #family: Family;

  constructor(namespace: NetworkNamespace, family: Family) {
    this.#namespace = namespace;
    this.#family = family;
  }

  /** Adds each of everyRule as our backend writes it. */
  async send(): Promise<void> {
    await this.#drive("count");
    await this.#drive("send");
  }

  /** What the kernel holds, in hexadecimal. */
  async read(): Promise<RulesOfTables> {
    return JSON.parse(await this.#drive("read"));
  }

  /** With what it says on standard error. */
  save(): Promise<string> {
    return this.#namespace.run(`${this.#iptables}-save`);
  }

  async restore(listing: string): Promise<void> {
    await this.#drive("count");
    const file = await Deno.makeTempFile();
    try {
      await Deno.writeTextFile(file, listing);
      await this.#namespace.run(`${this.#iptables}-restore`, file);
    } finally {
      await Deno.remove(file);
    }
  }

  get #iptables(): string {
    return this.#family === "IPv4" ? "iptables-nft" : "ip6tables-nft";
  }

  #drive(command: string): Promise<string> {
    const driver = new URL("./rules_driver.ts", import.meta.url).pathname;
    return this.#namespace.run(
      Deno.execPath(),
      "run",
      "--quiet",
      "--allow-all",
      "--no-check",
      driver,
      command,
      this.#family,
    );
  }
}
