import assert from "node:assert/strict";
import { Node } from "../../cli/support/node.ts";
import { RunningProxy } from "../../cli/support/running_proxy.ts";
import { run } from "../../support/network_namespace.ts";
import { seccompProfile } from "./seccomp_profile.ts";

export const project = new URL("../../../../", import.meta.url).pathname;

/** How a container runs. The default is what the DaemonSet of deploy/kubernetes asks for. */
export interface ContainerOptions {
  readonly args: readonly string[];
  readonly capabilities?: readonly string[];
  readonly user?: number;
  /** Directories of the host by their path in the container. */
  readonly mounts?: Readonly<Record<string, { readonly source: string; readonly writable?: boolean }>>;
  /** Paths below which the container has nothing. */
  readonly without?: readonly string[];
  /** True for an engine whose seccomp profile does not know CAP_BPF. */
  readonly hasOldSeccompProfile?: boolean;
}

/** The files of dist/image.tar, unpacked, to run as a container by runc in the network namespace of a node. */
export class Image implements AsyncDisposable {
  readonly #started: string[] = [];

  private constructor(readonly directory: string, private readonly bundle: string) {}

  static async unpack(): Promise<Image> {
    const directory = await Deno.makeTempDir({ prefix: "image-" });
    await run("mkdir", `${directory}/layout`);
    await run("tar", "--extract", "--file", `${project}dist/image.tar`, "--directory", `${directory}/layout`);
    const bundle = `${directory}/bundle`;
    await run("umoci", "unpack", "--image", `${directory}/layout:${await imageName()}`, bundle);
    return new Image(directory, bundle);
  }

  get rootFileSystem(): string {
    return `${this.bundle}/rootfs`;
  }

  /** Starts a container. Its root file system is read-only. */
  start(node: Node, options: ContainerOptions): RunningProxy {
    const id = `test-${crypto.randomUUID().slice(0, 8)}`;
    const bundle = `${this.directory}/${id}`;
    Deno.mkdirSync(bundle);
    this.#started.push(id);
    const base: Configuration = JSON.parse(Deno.readTextFileSync(`${this.bundle}/config.json`));
    Deno.writeTextFileSync(`${bundle}/config.json`, JSON.stringify(this.#configuration(base, node, options)));
    // exec, so that signals reach runc, which passes them on. The network namespace is in the configuration.
    const command = ["--root", this.#state, "run", "--bundle", bundle, id];
    return new RunningProxy(
      node,
      new Deno.Command("runc", { args: command, stdin: "null", stdout: "piped", stderr: "piped" }).spawn(),
    );
  }

  #configuration(base: Configuration, node: Node, options: ContainerOptions): Configuration {
    const capabilities = options.capabilities ?? ["CAP_NET_ADMIN"];
    // Only root has its capabilities in effect, as in Kubernetes.
    const effective = (options.user ?? 0) === 0 ? capabilities : [];
    const hidden = options.without ?? [];
    return {
      ...base,
      root: { path: this.rootFileSystem, readonly: true },
      process: {
        ...base.process,
        terminal: false,
        user: { uid: options.user ?? 0, gid: options.user ?? 0 },
        args: options.args,
        capabilities: {
          bounding: capabilities,
          effective,
          permitted: effective,
          inheritable: [],
          ambient: [],
        },
        rlimits: [],
        noNewPrivileges: true,
      },
      mounts: [
        ...base.mounts.filter(({ destination }) =>
          !hidden.some((path) => destination === path || destination.startsWith(`${path}/`))
        ),
        ...Object.entries(options.mounts ?? {}).map(([destination, { source, writable }]) => ({
          destination,
          source,
          type: "bind",
          options: ["rbind", writable === true ? "rw" : "ro"],
        })),
      ],
      linux: {
        ...base.linux,
        namespaces: base.linux.namespaces.map((one) =>
          one.type === "network" ? { ...one, path: `/run/netns/${node.namespace.name}` } : one
        ),
        seccomp: seccompProfile(capabilities, options.hasOldSeccompProfile === true),
      },
    };
  }

  /** Directory where runc keeps the state of containers. */
  get #state(): string {
    return `${this.directory}/runc`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A container outlives its runc that was killed.
    for (const id of this.#started) await run("runc", "--root", this.#state, "delete", "--force", id);
    await Deno.remove(this.directory, { recursive: true });
  }
}

/** Builds dist/image.tar, after the programs that make and run it are installed. */
export async function buildImage(): Promise<void> {
  for (const script of ["setup.sh release", "build.sh", "image.sh"]) await runScript(`scripts/${script}`);
}

/** Runs a command of the project, which may take minutes on a busy machine. Fails the test if it fails. */
export async function runScript(command: string): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command("bash", { args: ["-c", command], cwd: project })
    .output();
  assert.equal(code, 0, `${command}:\n${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

/** Name and tag of the image, which the version in deno.json decides. */
export async function imageName(): Promise<string> {
  const { version } = JSON.parse(await Deno.readTextFile(`${project}deno.json`));
  assert.match(version, /^\d+\.\d+\.\d+/);
  return `localhost/proxy:${version}`;
}

/** The part of a runc configuration that is changed here. */
interface Configuration {
  readonly process: Readonly<Record<string, unknown>>;
  readonly mounts: readonly ({ readonly destination: string } & Record<string, unknown>)[];
  readonly linux: { readonly namespaces: readonly { readonly type: string }[] } & Record<string, unknown>;
  readonly [field: string]: unknown;
}
