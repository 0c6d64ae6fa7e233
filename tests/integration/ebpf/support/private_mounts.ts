import { run } from "../../support/network_namespace.ts";

/** A BPF file system and a cgroup that only one test uses. */
export class PrivateMounts implements AsyncDisposable {
  readonly #name = `ebpf-test-${crypto.randomUUID().slice(0, 8)}`;
  readonly #directory = `/run/${this.#name}`;

  static async make(): Promise<PrivateMounts> {
    const mounts = new PrivateMounts();
    for (const [type, name] of MOUNTS) {
      await Deno.mkdir(`${mounts.#directory}/${name}`, { recursive: true });
      await run("mount", "-t", type, type, `${mounts.#directory}/${name}`);
    }
    await Deno.mkdir(mounts.cgroup);
    return mounts;
  }

  get bpffs(): string {
    return `${this.#directory}/bpf/proxy`;
  }

  get cgroup(): string {
    return `${this.#directory}/cgroup/${this.#name}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.cgroup);
    for (const [, name] of MOUNTS) await run("umount", `${this.#directory}/${name}`);
    await Deno.remove(this.#directory, { recursive: true });
  }
}

const MOUNTS = [["bpf", "bpf"], ["cgroup2", "cgroup"]] as const;
