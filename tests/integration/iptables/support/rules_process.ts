import type { Family } from "../../../../core/net/protocol.ts";
import type { NetworkNamespace } from "../../support/network_namespace.ts";

/** Rules of one family by table, in order. */
export type RulesOfTables = Readonly<Record<string, readonly string[]>>;

/** Runs rules_driver.ts and the stock tools in a namespace. */
export class RulesProcess {
  readonly #namespace: NetworkNamespace;
  readonly #family: Family;

  constructor(namespace: NetworkNamespace, family: Family) {
    this.#namespace = namespace;
    this.#family = family;
  }

  /** Programs the rules of everyRule as our backend does. */
  async send(): Promise<void> {
    await this.#drive("count");
    await this.#drive("send");
  }

  /** Reads the rules from the kernel, in hexadecimal. */
  async read(): Promise<RulesOfTables> {
    return JSON.parse(await this.#drive("read"));
  }

  /** The output of iptables-save, including standard error. */
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
