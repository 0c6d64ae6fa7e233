import assert from "node:assert/strict";
import type { Cluster, KubernetesObject } from "./cluster.ts";
import { type Flow, udp } from "./flows.ts";
import { inPod, outside, type Place } from "./places.ts";
import type { Client, Traffic } from "./traffic.ts";
import { NAMESPACE, service, type Workload } from "./workload.ts";

const NODE_PORT = 30054;
const NAME = "moving";

/**
 * UDP flows whose endpoint is removed while they last. Service `moving` has no selector: the test writes its
 * EndpointSlice.
 */
export class MovingEndpoint {
  private constructor(
    private readonly cluster: Cluster,
    private readonly endpoints: ReadonlyMap<string, string>,
    private readonly flows: readonly { readonly place: Place; readonly flow: Flow }[],
  ) {}

  static async create(cluster: Cluster, workload: Workload): Promise<MovingEndpoint> {
    const definition = service(
      NAME,
      { type: "NodePort", ipFamilyPolicy: "SingleStack" },
      undefined,
      NODE_PORT,
    );
    delete definition.spec.selector;
    await cluster.apply(definition);
    const endpoints = new Map<string, string>();
    for (const pod of workload.serverPods) {
      endpoints.set(pod, (await cluster.get("--namespace", NAMESPACE, "pod", pod)).status.podIP);
    }
    const { clusterIP } = (await cluster.get("--namespace", NAMESPACE, "service", NAME)).spec;
    const [nodeAddress] = await cluster.addressesOf(cluster.nodes[0]!);
    const flows = [
      {
        place: inPod(NAMESPACE, workload.clientPods[0]!),
        flow: udp("UDP moving ClusterIP", clusterIP, 53, 5353),
      },
      { place: outside, flow: udp("UDP moving node port", nodeAddress!, NODE_PORT, 5354) },
    ];
    const moving = new MovingEndpoint(cluster, endpoints, flows);
    await moving.#publish([...endpoints.keys()]);
    return moving;
  }

  /** Adds the flows to those of the clients. */
  addTo(clients: readonly Client[]): readonly Client[] {
    return clients.map(({ place, flows }) => ({
      place,
      flows: [
        ...flows,
        ...this.flows.filter((own) => JSON.stringify(own.place) === JSON.stringify(place)).map(({ flow }) =>
          flow
        ),
      ],
    }));
  }

  /** Removes the endpoint of each flow in turn, waits until another one answers, and adds it again. */
  async move(traffic: Traffic): Promise<void> {
    for (const { place, flow } of this.flows) {
      const before = traffic.answeredBy(place, flow.name);
      assert(before !== undefined && this.endpoints.has(before), `${flow.name} is answered by ${before}`);
      traffic.mark(`the endpoint of ${flow.name} is removed`);
      await this.#publish([...this.endpoints.keys()].filter((pod) => pod !== before));
      await this.cluster.until(
        `${flow.name} is answered by another pod than ${before}`,
        () => Promise.resolve(traffic.answeredBy(place, flow.name) !== before),
        10,
      );
      await this.#publish([...this.endpoints.keys()]);
    }
  }

  async #publish(pods: readonly string[]): Promise<void> {
    const slice: KubernetesObject = {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: NAME, namespace: NAMESPACE, labels: { "kubernetes.io/service-name": NAME } },
      addressType: "IPv4",
      ports: [{ name: "udp", protocol: "UDP", port: 8081 }, { name: "http", protocol: "TCP", port: 8080 }],
      endpoints: pods.map((pod) => ({
        addresses: [this.endpoints.get(pod)],
        conditions: { ready: true },
      })),
    };
    await this.cluster.apply(slice);
  }
}
