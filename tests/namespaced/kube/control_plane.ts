import type { RawObject } from "../../core/kube/raw_objects.ts";

const script = new URL("../../../scripts/control-plane.sh", import.meta.url).pathname;

/**
 * A real etcd and kube-apiserver, started by scripts/control-plane.sh in the network namespace of this process, and a
 * client. Only one can run at a time, because the ports are fixed.
 */
export class ControlPlane implements AsyncDisposable {
  readonly server = "https://127.0.0.1:6443";
  readonly port = 6443;
  /** Directory that the test may use too. It is removed at the end. */
  readonly directory = Deno.makeTempDirSync({ prefix: "control-plane-" });
  readonly #token = crypto.randomUUID();
  #client: Deno.HttpClient | undefined;

  private constructor(private readonly flags: readonly string[]) {}

  /** @param flags of kube-apiserver, besides those of control-plane.sh */
  static async start(flags: readonly string[] = []): Promise<ControlPlane> {
    const plane = new ControlPlane(flags);
    try {
      Deno.writeTextFileSync(`${plane.directory}/token`, plane.#token);
      plane.acceptTokens([]);
      await plane.start();
      return plane;
    } catch (error) {
      await plane[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Starts the processes that are not running, and returns when the API server is ready. */
  async start(): Promise<void> {
    await this.#script("start");
    this.#client?.close();
    this.#client = Deno.createHttpClient({ caCerts: [this.authority] });
  }

  async stop(): Promise<void> {
    await this.#script("stop");
  }

  /** Kills kube-apiserver. etcd keeps running. */
  async killApiServer(): Promise<void> {
    Deno.kill(this.#apiServer, "SIGKILL");
    // An exiting process loses its memory, and with it its name in /proc, before its sockets.
    while (this.isRunning || await this.#listens()) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  /** False for a zombie too. */
  get isRunning(): boolean {
    try {
      return Deno.readTextFileSync(`/proc/${this.#apiServer}/cmdline`) !== "";
    } catch {
      return false;
    }
  }

  /** Keeps a copy of etcd's data. Both processes must be stopped. */
  async backUp(): Promise<void> {
    await this.#copy("etcd", "backup");
  }

  /** Puts the copy back. Both processes must be stopped. */
  async restore(): Promise<void> {
    await this.#copy("backup", "etcd");
  }

  /** Sets the bearer tokens that the API server accepts after its next start. */
  acceptTokens(tokens: readonly string[]): void {
    const lines = [this.#token, ...tokens].map((token, index) => `${token},user-${index},user-${index}\n`);
    Deno.writeTextFileSync(`${this.directory}/tokens.csv`, lines.join(""));
  }

  /** Compacts the history in etcd. The API server loses it at its next start. */
  async compact(): Promise<void> {
    const answer = await this.#etcd("range", { key: btoa("\0") });
    const { header: { revision } }: { header: { revision: string } } = JSON.parse(answer);
    await this.#etcd("compaction", { revision, physical: true });
  }

  /** Reads a PEM file. */
  get authority(): string {
    return Deno.readTextFileSync(`${this.directory}/ca.crt`);
  }

  /** The API server's own certificate, without that of its authority. */
  get serverCertificate(): string {
    const chain = Deno.readTextFileSync(`${this.directory}/certs/apiserver.crt`);
    return /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----\n/.exec(chain)?.[0] ?? "";
  }

  /** Writes a kubeconfig and returns its path. */
  kubeconfig(
    { server = this.server, user = { token: this.#token }, cluster }: {
      server?: string;
      user?: object;
      /** Fields of the cluster in place of certificate-authority-data. */
      cluster?: object;
    } = {},
  ): string {
    const config = {
      apiVersion: "v1",
      kind: "Config",
      "current-context": "c",
      contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
      clusters: [{
        name: "c",
        cluster: { server, ...cluster ?? { "certificate-authority-data": btoa(this.authority) } },
      }],
      users: [{ name: "u", user }],
    };
    const path = `${this.directory}/${crypto.randomUUID()}.kubeconfig`;
    Deno.writeTextFileSync(path, JSON.stringify(config));
    return path;
  }

  /** Creates objects one after the other. */
  async create(...objects: readonly RawObject[]): Promise<void> {
    for (const object of objects) await this.request("POST", pathOf(object), object);
  }

  /** Creates many objects concurrently. */
  async createAll(objects: readonly RawObject[]): Promise<void> {
    const left = objects.values();
    const worker = async () => {
      for (const object of left) await this.create(object);
    };
    await Promise.all(Array.from({ length: 50 }, worker));
  }

  /** Replaces the object of the same name. */
  async replace(object: RawObject): Promise<void> {
    await this.request("PUT", `${pathOf(object)}/${object.metadata.name}`, object);
  }

  async remove(...objects: readonly RawObject[]): Promise<void> {
    for (const object of objects) await this.request("DELETE", `${pathOf(object)}/${object.metadata.name}`);
  }

  /** @returns the body of the response */
  async request(method: string, path: string, body?: object): Promise<string> {
    const response = await fetch(new URL(path, this.server), {
      method,
      headers: { authorization: `Bearer ${this.#token}`, "content-type": "application/json" },
      ...(this.#client !== undefined && { client: this.#client }),
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(30_000),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${text}`);
    return text;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client?.close();
    await this.stop();
    Deno.removeSync(this.directory, { recursive: true });
  }

  async #listens(): Promise<boolean> {
    try {
      using _connection = await Deno.connect({ hostname: "127.0.0.1", port: this.port });
      return true;
    } catch (error) {
      if (error instanceof Deno.errors.ConnectionRefused || error instanceof Deno.errors.ConnectionReset) {
        return false;
      }
      throw error;
    }
  }

  get #apiServer(): number {
    return Number(Deno.readTextFileSync(`${this.directory}/kube-apiserver.pid`));
  }

  async #etcd(call: string, body: object): Promise<string> {
    const url = `http://127.0.0.1:2379/v3/kv/${call}`;
    const response = await fetch(url, { method: "POST", body: JSON.stringify(body) });
    const text = await response.text();
    if (!response.ok) throw new Error(`etcd ${call}: ${text}`);
    return text;
  }

  async #copy(from: string, to: string): Promise<void> {
    const script = 'rm -rf "$2" && cp -a "$1" "$2"';
    const args = ["-ec", script, "_", `${this.directory}/${from}`, `${this.directory}/${to}`];
    const { success } = await new Deno.Command("sh", { args }).output();
    if (!success) throw new Error(`cannot copy ${from} to ${to}`);
  }

  async #script(command: "start" | "stop"): Promise<void> {
    const options = {
      args: [command, this.directory],
      env: { APISERVER_FLAGS: this.flags.join(" ") },
      signal: AbortSignal.timeout(150_000),
    };
    const { success, stderr } = await new Deno.Command(script, options).output();
    if (!success) throw new Error(`control-plane.sh ${command}: ${new TextDecoder().decode(stderr)}`);
  }
}

function pathOf({ apiVersion, kind, metadata }: RawObject): string {
  const group = apiVersion === "v1" ? "/api/v1" : `/apis/${apiVersion}`;
  const place = metadata.namespace === undefined ? "" : `/namespaces/${metadata.namespace}`;
  return `${group}${place}/${kind.toLowerCase()}s`;
}
