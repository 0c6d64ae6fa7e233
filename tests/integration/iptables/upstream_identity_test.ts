import assert from "node:assert/strict";
import { FAMILIES } from "../../../core/net/protocol.ts";
import { LabControlPlane, missingPeers } from "../support/takeover_lab.ts";
import { changed, cluster, commentOfMarker, largeCluster, marker } from "./support/cluster.ts";
import { type ComparedProxy, Ours, Upstream } from "./support/compared_proxies.ts";
import { explained, listingDifferences } from "./support/listing_differences.ts";
import { compared, normalised } from "./support/listing.ts";
import { NodeNamespace } from "./support/node_namespace.ts";
import type { RawObject } from "./support/objects.ts";
import { publishedObjects } from "./support/published_objects.ts";
import { variants } from "./support/variants.ts";

Deno.test({
  name: "iptables-save of mode iptables equals that of the real kube-proxy for any cluster and flags" +
    missingPeers,
  ignore: missingPeers !== "",
  async fn(t) {
    await using comparison = await Comparison.prepare();
    await comparison.publish(cluster);
    for (const { name, flags, sysctls } of variants) {
      await t.step(name, async () => {
        await using _pair = await comparison.start(flags, sysctls);
        await comparison.mustAgree();
      });
    }
    await t.step("changes of every kind", async () => {
      await using _pair = await comparison.start(variants[0]!.flags);
      await comparison.publish(changed());
      await comparison.mustAgree();
      await comparison.publish(cluster);
      await comparison.mustAgree();
    });
    await t.step("more than 1000 endpoints", async () => {
      await comparison.publish(largeCluster);
      await using _pair = await comparison.start(variants[0]!.flags);
      await comparison.mustAgree();
    });
    await t.step("ours after upstream, and upstream after ours", async () => {
      await comparison.publish(cluster);
      await using _pair = await comparison.start(variants[0]!.flags);
      await comparison.exchange("ours", variants[0]!.flags);
      await comparison.publish(changed());
      await comparison.mustAgree();
      await comparison.exchange("upstream", variants[0]!.flags);
      await comparison.publish(cluster);
      await comparison.mustAgree();
    });
    await t.step("every explained difference occurs", () => {
      const unused = listingDifferences.filter((difference) => !comparison.explained.has(difference));
      assert.deepEqual(unused.map(({ name }) => name), []);
    });
  },
});

/** Two proxies with the same objects, each on its own node. */
class Comparison implements AsyncDisposable {
  /** Expected differences that occurred. */
  readonly explained = new Set<object>();
  #markers = 0;
  readonly #upstream: Upstream;
  readonly #ours: Ours;
  readonly #oursAfterUpstream: Ours;
  #running: readonly ComparedProxy[] = [];

  readonly #upstreamNode: NodeNamespace;
  readonly #ourNode: NodeNamespace;
  readonly #plane: LabControlPlane;
  readonly #owned: AsyncDisposableStack;

  private constructor(
    upstreamNode: NodeNamespace,
    ourNode: NodeNamespace,
    plane: LabControlPlane,
    owned: AsyncDisposableStack,
  ) {
    this.#upstreamNode = upstreamNode;
    this.#ourNode = ourNode;
    this.#plane = plane;
    this.#owned = owned;
    this.#upstream = new Upstream(upstreamNode, plane);
    this.#ours = new Ours(ourNode);
    this.#oursAfterUpstream = new Ours(upstreamNode);
  }

  static async prepare(): Promise<Comparison> {
    await using owned = new AsyncDisposableStack();
    const upstreamNode = owned.use(await NodeNamespace.make());
    const ourNode = owned.use(await NodeNamespace.make());
    const plane = owned.use(await LabControlPlane.start(upstreamNode));
    return new Comparison(upstreamNode, ourNode, plane, owned.move());
  }

  /** Publishes the objects to both proxies. When it returns, the running ones have programmed them. */
  async publish(objects: readonly RawObject[]): Promise<void> {
    this.#markers++;
    await this.#plane.publish([...objects, ...marker(this.#markers)]);
    const published = await publishedObjects(this.#upstreamNode);
    for (const ours of [this.#ours, this.#oursAfterUpstream]) ours.publish(published);
    await this.#untilProgrammed();
  }

  /** Starts both on fresh nodes and waits until they have programmed everything. */
  async start(
    flags: readonly string[],
    sysctls: Readonly<Record<string, number>> = {},
  ): Promise<AsyncDisposable> {
    await Promise.all([this.#upstreamNode, this.#ourNode].map((node) => node.forget(sysctls)));
    this.#running = [this.#upstream, this.#ours].map((proxy) => proxy.start(flags));
    await using started = new AsyncDisposableStack();
    started.defer(() => this.#end());
    await this.#untilProgrammed();
    return started.move();
  }

  /** Ends the proxy on kube-proxy's node and starts another one, which takes over its rules. */
  async exchange(next: "upstream" | "ours", flags: readonly string[]): Promise<void> {
    const [previous, ...others] = this.#running;
    await previous?.[Symbol.asyncDispose]();
    const proxy = next === "ours" ? this.#oursAfterUpstream : this.#upstream;
    this.#running = [proxy.start(flags), ...others];
  }

  async mustAgree(): Promise<void> {
    const [upstreams, ours] = await Promise.all([this.#upstreamNode.listings(), this.#ourNode.listings()]);
    const differences = FAMILIES.flatMap((family) => {
      const lines = compared(normalised(upstreams[family]), normalised(ours[family]));
      return explained(lines, this.explained).map((line) => `${family} ${line}`);
    });
    assert.equal(
      differences.length,
      0,
      `${differences.length} lines, kube-proxy's - and ours +:\n${differences.slice(0, 30).join("\n")}`,
    );
    assert.equal(
      await this.#ourNode.routesLocalnet(),
      await this.#upstreamNode.routesLocalnet(),
      "route_localnet",
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned[Symbol.asyncDispose]();
  }

  async #end(): Promise<void> {
    for (const proxy of this.#running) await proxy[Symbol.asyncDispose]();
    this.#running = [];
  }

  async #untilProgrammed(): Promise<void> {
    await Promise.all(this.#running.map((proxy) => proxy.untilHas(commentOfMarker(this.#markers))));
  }
}
