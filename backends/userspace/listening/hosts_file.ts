import { dirname } from "node:path";
import type { Requirement } from "../../../core/backend/contract.ts";

/** One line: an address and its names. */
export interface Host {
  readonly address: string;
  readonly names: readonly string[];
}

/** The first line, by which a file of ours is recognised. */
const HEADER = "# Loopback addresses of Services, written by proxy. It replaces the file when they change.\n";

/** Names of a Service that are safe in a line of the file. */
const NAME = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/;

/** A file in the format of hosts(5) that exists while this process runs. Readers never see a part of it. */
export class HostsFile implements Disposable {
  readonly path: string;
  #text = "";
  /** Identifies the file that was written last, because another process may have replaced it. */
  #written: string | undefined;

  constructor(path: string) {
    this.path = path;
  }

  /** Finds out whether the file can be written. Changes nothing. */
  requirement(): Requirement {
    const base = { name: "hosts file", severity: "required" } as const;
    try {
      this.#checkOwner();
      Deno.removeSync(this.#temporaryFile());
      return { ...base, found: true, detail: `${this.path} can be written` };
    } catch (error) {
      return { ...base, found: false, detail: errorOf(this.path, error).message };
    }
  }

  /** Makes these the contents. @throws Error that names the path and what to do. */
  write(hosts: Iterable<Host>): void {
    let text = HEADER;
    for (const { address, names } of hosts) {
      const usable = names.filter((name) => NAME.test(name));
      if (usable.length > 0) text += `${address}\t${usable.join(" ")}\n`;
    }
    if (text === this.#text) return;
    let temporary: string | undefined;
    try {
      this.#checkOwner();
      temporary = this.#temporaryFile();
      Deno.writeTextFileSync(temporary, text);
      Deno.chmodSync(temporary, 0o644);
      Deno.renameSync(temporary, this.path);
    } catch (error) {
      if (temporary !== undefined) Deno.removeSync(temporary);
      throw errorOf(this.path, error);
    }
    this.#text = text;
    this.#written = identityOf(this.path);
  }

  /** Removes the file, unless another process has replaced it. */
  [Symbol.dispose](): void {
    if (this.#written === undefined || identityOf(this.path) !== this.#written) return;
    Deno.removeSync(this.path);
    this.#written = undefined;
  }

  #temporaryFile(): string {
    return Deno.makeTempFileSync({ dir: dirname(this.path), prefix: ".proxy-hosts-" });
  }

  /** @throws Error if another program has made the file, such as /etc/hosts. */
  #checkOwner(): void {
    let text: string;
    try {
      text = Deno.readTextFileSync(this.path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return;
      throw error;
    }
    if (text !== "" && !text.startsWith(HEADER)) {
      throw new Error("the file exists, and proxy has not written it");
    }
  }
}

function errorOf(path: string, error: unknown): Error {
  const reason = error instanceof Error ? error.message : String(error);
  return new Error(
    `cannot write the hosts file ${path}: ${reason}. Give --userspace-hosts-file another path, in a directory that this ` +
      "process may write to",
    { cause: error },
  );
}

function identityOf(path: string): string | undefined {
  try {
    const { dev, ino, mtime } = Deno.lstatSync(path);
    return [dev, ino, mtime?.getTime()].join(" ");
  } catch {
    return undefined;
  }
}
