import { run } from "../../support/network_namespace.ts";
import type { Desired } from "./tables_driver.ts";

/** Runs tables_driver.ts in a namespace. */
export class TablesProcess {
  readonly #namespace: string;

  constructor({ name }: { readonly name: string }) {
    this.#namespace = name;
  }

  /** Replaces the tables. */
  async write(desired: Desired): Promise<void> {
    const file = await Deno.makeTempFile();
    try {
      await Deno.writeTextFile(file, JSON.stringify(desired));
      await this.#drive("write", file);
    } finally {
      await Deno.remove(file);
    }
  }

  async schemas(): Promise<readonly Schema[]> {
    const lines = (await this.#drive("schemas")).trim().split("\n");
    return lines.map((line) => JSON.parse(line));
  }

  #drive(...args: readonly string[]): Promise<string> {
    const driver = new URL("./tables_driver.ts", import.meta.url).pathname;
    const deno = [Deno.execPath(), "run", "--quiet", "--allow-all", "--no-check", driver];
    return run("ip", "netns", "exec", this.#namespace, ...deno, ...args);
  }
}

interface Schema {
  readonly nfproto: number;
  readonly chains: readonly string[];
  readonly sets: readonly string[];
  readonly hasOthers: boolean;
}
