import assert from "node:assert/strict";
import { families } from "../../../core/model/objects.ts";
import { LabControlPlane, peers } from "../takeover_lab.ts";
import { changed, cluster, commentOfMarker, largeCluster, marker } from "./cluster.ts";
import { type ComparedProxy, Ours, Upstream } from "./compared_proxies.ts";
import { argued, listingDifferences } from "./listing_differences.ts";
import { compared, normalised } from "./listing.ts";
import { NodeNamespace } from "./node_namespace.ts";
import type { RawObject } from "./objects.ts";
import { publishedObjects } from "./published_objects.ts";
import { variants } from "./variants.ts";

const missing = ["etcd", "kube-apiserver", "kube-proxy"].filter((peer) => !exists(`${peers}/${peer}`));

Deno.test({
  name:
    "iptables-save of mode iptables is that of the real kube-proxy, whatever the cluster and the flags are" +
    (missing.length > 0 ? ` (skipped: no ${missing.join(", ")} in ${peers})` : ""),
  ignore: missing.length > 0,
  async fn(t) {
    await using contest = await Contest.prepare();
    await contest.publish(cluster);
    for (const { name, flags, sysctls } of variants) {
      await t.step(name, async () => {
        await using _pair = await contest.start(flags, sysctls);
        await contest.mustAgree();
      });
    }
    await t.step("changes of every kind", async () => {
      await using _pair = await contest.start(variants[0]!.flags);
      await contest.publish(changed());
      await contest.mustAgree();
      await contest.publish(cluster);
      await contest.mustAgree();
    });
    await t.step("more than 1000 endpoints", async () => {
      await contest.publish(largeCluster);
      await using _pair = await contest.start(variants[0]!.flags);
      await contest.mustAgree();
    });
    await t.step("every argued difference is one", () => {
      const unseen = listingDifferences.filter((difference) => !contest.argued.has(difference));
      assert.deepEqual(unseen.map(({ name }) => name), []);
    });
  },
});

/** The same objects for two proxies, each on a node of its own. */
class Contest implements AsyncDisposable {
  /** Differences that there were. */
  readonly argued = new Set<object>();
  #markers = 0;
  #running: readonly ComparedProxy[] = [];

  private constructor(
    private readonly upstreamNode: NodeNamespace,
    private readonly ourNode: NodeNamespace,
    private readonly plane: LabControlPlane,
    private readonly upstream: Upstream,
    private readonly ours: Ours,
    private readonly owned: AsyncDisposableStack,
  ) {}

  static async prepare(): Promise<Contest> {
    await using owned = new AsyncDisposableStack();
    const upstreamNode = owned.use(await NodeNamespace.make());
    const ourNode = owned.use(await NodeNamespace.make());
    const plane = owned.use(await LabControlPlane.start(upstreamNode));
    const [upstream, ours] = [new Upstream(upstreamNode, plane), new Ours(ourNode)];
    return new Contest(upstreamNode, ourNode, plane, upstream, ours, owned.move());
  }

  /** To both; those that run have it programmed when it returns. */
  async publish(objects: readonly RawObject[]): Promise<void> {
    this.#markers++;
    await this.plane.publish([...objects, ...marker(this.#markers)]);
    this.ours.publish(await publishedObjects(this.upstreamNode));
    await this.#untilProgrammed();
  }

  /** Both on new nodes, with everything programmed. */
  async start(
    flags: readonly string[],
    sysctls: Readonly<Record<string, number>> = {},
  ): Promise<AsyncDisposable> {
    await Promise.all([this.upstreamNode, this.ourNode].map((node) => node.forget(sysctls)));
    await using started = new AsyncDisposableStack();
    this.#running = [this.upstream, this.ours].map((proxy) => started.use(proxy.start(flags)));
    started.defer(() => {
      this.#running = [];
    });
    await this.#untilProgrammed();
    return started.move();
  }

  async mustAgree(): Promise<void> {
    const [upstreams, ours] = await Promise.all([this.upstreamNode.listings(), this.ourNode.listings()]);
    const differences = families.flatMap((family) => {
      const lines = compared(normalised(upstreams[family]), normalised(ours[family]));
      return argued(lines, this.argued).map((line) => `${family} ${line}`);
    });
    assert.equal(
      differences.length,
      0,
      `${differences.length} lines, upstream's - and ours +:\n${differences.slice(0, 30).join("\n")}`,
    );
    assert.equal(
      await this.ourNode.routesLocalnet(),
      await this.upstreamNode.routesLocalnet(),
      "route_localnet",
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.owned[Symbol.asyncDispose]();
  }

  async #untilProgrammed(): Promise<void> {
    await Promise.all(this.#running.map((proxy) => proxy.untilHas(commentOfMarker(this.#markers))));
  }
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
