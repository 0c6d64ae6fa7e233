import { linesOf } from "../../lab/lines.ts";
import type { Cluster } from "./cluster.ts";
import { outside } from "./places.ts";

interface Event {
  readonly type: string;
  readonly object: {
    readonly metadata: { readonly name: string };
    readonly endpoints?: readonly {
      readonly targetRef?: { readonly name: string };
      readonly conditions: { readonly serving?: boolean };
    }[];
  };
}

/** Watches EndpointSlices of a Service until its standard input ends, also when the API server was away. */
const script = (namespace: string, service: string) => `
  . scripts/cluster/settings.sh
  while true; do
    curl --silent --no-buffer --insecure --noproxy '*' --header "Authorization: Bearer $(cat "$state/run/admin.token")" \\
      "$(api_url)/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices?watch=true&labelSelector=kubernetes.io/service-name=${service}" || true
    sleep 0.2
  done &
  cat >/dev/null
  kill $! $(pgrep -P $!)`;

/** Records when pods of a Service stop serving, as the API server tells the proxies. */
export class ServingWatch implements AsyncDisposable {
  /** Times in ms since the epoch, by pod. */
  readonly stops = new Map<string, number[]>();
  /** Pods that serve, by EndpointSlice. */
  readonly #serving = new Map<string, ReadonlySet<string>>();
  readonly #ended: Promise<void>;

  private constructor(private readonly process: Deno.ChildProcess) {
    this.#ended = this.#read();
  }

  static async start(cluster: Cluster, namespace: string, service: string): Promise<ServingWatch> {
    return new ServingWatch(await cluster.spawn(outside, "bash", "-c", script(namespace, service)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process.stdin.close().catch(() => {});
    await this.#ended;
  }

  async #read(): Promise<void> {
    const errors = new Response(this.process.stderr).text();
    for await (const line of linesOf(this.process.stdout)) this.#take(JSON.parse(line));
    await errors;
    await this.process.status;
  }

  #take({ type, object }: Event): void {
    const before = this.#all();
    const pods = (object.endpoints ?? []).filter(({ conditions }) => conditions.serving !== false)
      .flatMap(({ targetRef }) => targetRef === undefined ? [] : [targetRef.name]);
    if (type === "DELETED") this.#serving.delete(object.metadata.name);
    else this.#serving.set(object.metadata.name, new Set(pods));
    const now = this.#all();
    for (const pod of before) {
      if (!now.has(pod)) this.stops.set(pod, [...this.stops.get(pod) ?? [], Date.now()]);
    }
  }

  #all(): ReadonlySet<string> {
    return new Set([...this.#serving.values()].flatMap((pods) => [...pods]));
  }
}
