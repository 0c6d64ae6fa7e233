import assert from "node:assert/strict";
import { proxyBinary } from "../../../lab/proxy.ts";
import { slowness } from "../../../lab/pace.ts";
import { NetworkNamespace } from "../../support/network_namespace.ts";
import { collect } from "./collect.ts";
import { RunningProxy } from "./running_proxy.ts";

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A process that has not exited after this time is killed, and the test fails. */
const LONGEST_RUN_MS = 30_000 * slowness;

/** A network namespace that acts as a node, a directory of manifests, and the built binary to run there. */
export class Node implements AsyncDisposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "cli-" });
  readonly manifests = `${this.directory}/manifests`;

  private constructor(readonly namespace: NetworkNamespace) {
    Deno.mkdirSync(this.manifests);
  }

  static async make(): Promise<Node> {
    const node = new Node(await NetworkNamespace.make());
    await node.namespace.run("ip", "link", "set", "lo", "up");
    return node;
  }

  /** Runs the proxy until it exits. `wrapper` is a command that executes it, such as `strace …`. */
  async run(flags: readonly string[], wrapper: readonly string[] = []): Promise<Finished> {
    const process = this.spawn([...wrapper, proxyBinary, ...flags]);
    const killer = setTimeout(() => process.kill("SIGKILL"), LONGEST_RUN_MS);
    const [stdout, stderr, { code, signal }] = await Promise.all([
      collect(process.stdout),
      collect(process.stderr),
      process.status,
    ]);
    clearTimeout(killer);
    assert.equal(signal, null, `proxy ${flags.join(" ")} ended by ${signal}, after\n${stderr}`);
    return { code, stdout, stderr };
  }

  /** Starts the proxy with the manifests as source, unless the flags select another. */
  start(...flags: readonly string[]): RunningProxy {
    return this.startWith([], ...flags);
  }

  /** Starts the proxy as `start` does. `wrapper` is a command that executes it. */
  startWith(wrapper: readonly string[], ...flags: readonly string[]): RunningProxy {
    const source = flags.some((flag) => /^--(kubeconfig|master)=/.test(flag)) ? [] : this.source;
    return new RunningProxy(
      this,
      this.spawn([...wrapper, proxyBinary, ...source, ...this.identity, ...flags]),
    );
  }

  get source(): readonly string[] {
    return [`--manifests=${this.manifests}`];
  }

  readonly identity = ["--cluster-cidr=10.244.0.0/16", "--hostname-override=here"];

  spawn(command: readonly string[]): Deno.ChildProcess {
    const args = ["netns", "exec", this.namespace.name, ...command];
    return new Deno.Command("ip", { args, stdin: "null", stdout: "piped", stderr: "piped" }).spawn();
  }

  /** Writes a manifest atomically. */
  async write(name: string, contents: string | readonly object[]): Promise<void> {
    const text = typeof contents === "string"
      ? contents
      : contents.map((one) => JSON.stringify(one)).join("\n---\n");
    await Deno.writeTextFile(`${this.directory}/new`, text);
    await Deno.rename(`${this.directory}/new`, `${this.manifests}/${name}`);
  }

  /** Response of its metrics endpoint, requested from within its namespace. */
  async metrics(): Promise<string> {
    const url = "http://127.0.0.1:10249/metrics";
    return await this.namespace.run("curl", "--silent", "--noproxy", "*", "--max-time", "5", url);
  }

  /** Tables in the kernel, as the stock nft lists them. */
  async ruleset(): Promise<string> {
    return await this.namespace.run("nft", "list", "ruleset");
  }

  /** IPv4 services in force that have endpoints: `10.96.0.10:80 default/web`. */
  async services(): Promise<readonly string[]> {
    const text = await this.namespace.run("nft", "-j", "list", "map", "ip", "kube-proxy", "service-ips");
    const listing: { nftables: { map?: { elem?: ListedElement[] } }[] } = JSON.parse(text);
    return listing.nftables.flatMap(({ map }) => map?.elem ?? []).map(([{ elem }]) => {
      const [address, , port] = elem.val.concat;
      return `${address}:${port} ${elem.comment}`;
    }).sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.namespace[Symbol.asyncDispose]();
    await Deno.remove(this.directory, { recursive: true });
  }
}

/** An element of service-ips in nft's JSON: the key, then the verdict. */
type ListedElement = [
  {
    readonly elem: {
      readonly val: { readonly concat: readonly [string, string, number] };
      readonly comment: string;
    };
  },
  unknown,
];

/** Asserts that an error is one message with its cause and fix, without a stack, and exit code 1. */
export function assertComplaint({ code, stdout, stderr }: Finished, ...patterns: readonly RegExp[]): void {
  const message = stderr.split("\n").filter((line) => !/^[IW]\d{4} /.test(line)).join("\n");
  assert.equal(code, 1, `exit code ${code} with\n${stderr}`);
  assert.equal(stdout, "");
  assert.match(message, /^proxy: /);
  assert.equal(message.match(/^proxy: /gm)?.length, 1, `more than one message:\n${stderr}`);
  assert.doesNotMatch(message, /^\s+at /m, "a stack is shown");
  assert.doesNotMatch(message, /\bError:/, "the name of an exception is shown");
  for (const pattern of patterns) assert.match(message, pattern);
}
