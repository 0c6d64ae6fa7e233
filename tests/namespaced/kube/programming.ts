import assert from "node:assert/strict";
import { rawSlice } from "../../core/kube/raw_objects.ts";
import { run } from "../../integration/support/network_namespace.ts";
import { type Case, service } from "./case.ts";
import { sliceTo } from "./pods.ts";
import { ProxyProcess, until } from "./proxy_process.ts";

/** First address of the services of these cases: 10.96.4.0. */
const bulk = { services: 500, slicesOfEach: 9 };

/** Cases that check that objects of the API are programmed and work. */
export const programming: readonly Case[] = [
  {
    name: "Services and EndpointSlices that come, change and go do so in the kernel, and for packets",
    async test({ plane, pods }) {
      await using proxy = new ProxyProcess([`--kubeconfig=${plane.kubeconfig()}`]);
      await proxy.inForce();
      await proxy.sourceIs("connected");
      const web = "10.96.1.1";
      await plane.create(service("web", web));
      await pods.until(web, "refused");
      await plane.create(sliceTo("pod-a", "web"));
      await pods.until(web, "pod-a");
      assert.match(await listing(), /map endpoints \{[^}]*10\.96\.1\.1 \. tcp \. 80 \. 0 : 10\.244\.0\.1/s);
      await plane.replace(sliceTo("pod-b", "web"));
      await pods.until(web, "pod-b");
      await plane.replace(service("web", web, 8000));
      await pods.until(web, "pod-b", 10_000, 8000);
      await pods.until(web, "refused");
      await plane.remove(sliceTo("pod-b", "web"));
      await pods.until(web, "refused", 10_000, 8000);
      await plane.remove(service("web", web));
      await plane.create(service("next", "10.96.1.2"), sliceTo("pod-a", "next"));
      await pods.until("10.96.1.2", "pod-a");
      assert.doesNotMatch(await listing(), /10\.96\.1\.1\b/);
    },
  },
  {
    name: "5,000 objects that come while it runs are all in force, and gone when they are deleted",
    async test({ plane, pods }) {
      await using proxy = new ProxyProcess([`--kubeconfig=${plane.kubeconfig()}`]);
      await proxy.inForce();
      const objects = Array.from({ length: bulk.services }, (_, i) => bulkObjects(i)).flat();
      await plane.createAll(objects);

      await plane.create(service("after-many", "10.96.1.3"), sliceTo("pod-a", "after-many"));
      await pods.until("10.96.1.3", "pod-a");
      assert.equal(bulkAddresses(await listing()).size, bulk.services);
      for (const kind of ["services", "endpointslices"]) {
        const group = kind === "services" ? "/api/v1" : "/apis/discovery.k8s.io/v1";
        await plane.request("DELETE", `${group}/namespaces/default/${kind}?labelSelector=bulk`);
      }
      await plane.remove(sliceTo("pod-a", "after-many"));
      await pods.until("10.96.1.3", "refused", 30_000);
      assert.equal(bulkAddresses(await listing()).size, 0);
    },
  },
  {
    name: "a service that loses its external IP to another one has one Event that says so",
    async test({ plane, pods }) {
      await using proxy = new ProxyProcess([`--kubeconfig=${plane.kubeconfig()}`]);
      await proxy.inForce();
      const sharing = (name: string, clusterIP: string) => ({
        ...service(name, clusterIP),
        spec: { clusterIP, externalIPs: ["10.96.7.9"], ports: [{ port: 80, targetPort: 8080 }] },
      });
      await plane.create(sharing("first", "10.96.7.1"), sliceTo("pod-a", "first"));
      await pods.until("10.96.7.9", "pod-a");
      await plane.create(sharing("second", "10.96.7.2"), sliceTo("pod-b", "second"));
      await pods.until("10.96.7.2", "pod-b");
      let events: readonly EventOfService[] = [];
      const hasEvent = async () => {
        const list: { items: readonly EventOfService[] } = JSON.parse(
          await plane.request("GET", "/apis/events.k8s.io/v1/namespaces/default/events"),
        );
        events = list.items.filter(({ reason }) => reason === "FrontendConflict");
        return events.length > 0;
      };
      await until(hasEvent, "an Event");
      const { metadata: { uid } } = JSON.parse(
        await plane.request("GET", "/api/v1/namespaces/default/services/second"),
      );
      assert.deepEqual(
        events.map(({ type, note, regarding, reportingInstance }) => ({
          type,
          note,
          regarding,
          reportingInstance,
        })),
        [{
          type: "Warning",
          note: "10.96.7.9:80/TCP of default/second is held by default/first",
          regarding: { apiVersion: "v1", kind: "Service", namespace: "default", name: "second", uid },
          reportingInstance: "here",
        }],
      );
      // A ClusterIP of another service takes the address from both.
      await plane.create(service("third", "10.96.7.9"), sliceTo("pod-b", "third"));
      await pods.until("10.96.7.9", "pod-b");
      await until(async () => await hasEvent() && events.length === 3, "an Event of each service that lost");
      await plane.remove(...["first", "second", "third"].map((name) => service(name, "")));
    },
  },
];

interface EventOfService {
  readonly type: string;
  readonly reason: string;
  readonly note: string;
  readonly regarding: object;
  readonly reportingInstance: string;
}

function bulkObjects(i: number) {
  const address = `10.96.${4 + (i >> 8)}.${i & 255}`;
  const labels = { bulk: "" };
  const of = service(`bulk-${i}`, address);
  const slices = Array.from({ length: bulk.slicesOfEach }, (_, n) => {
    const slice = rawSlice(`bulk-${i}-${n}`, `bulk-${i}`, [`10.245.${i >> 4}.${(i & 15) * 16 + n}`]);
    return {
      ...slice,
      metadata: { ...slice.metadata, labels: { ...labels, "kubernetes.io/service-name": `bulk-${i}` } },
    };
  });
  return [{ ...of, metadata: { ...of.metadata, labels } }, ...slices];
}

function bulkAddresses(text: string): Set<string> {
  return new Set(text.match(/\b10\.96\.[4-7]\.\d+\b/g));
}

function listing(): Promise<string> {
  return run("nft", "list", "table", "ip", "kube-proxy");
}
