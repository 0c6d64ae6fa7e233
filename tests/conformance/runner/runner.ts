import type { Family } from "../../../core/net/protocol.ts";
import type { Lab } from "../../lab/lab.ts";
import { type Agent, isAnswered } from "../../lab/agent.ts";
import { pollPause, slowness } from "../../lab/pace.ts";
import { type Marker, nextMarker } from "./marker.ts";
import {
  clusterObjects,
  isMachine,
  type KubernetesObject,
  ServiceAddresses,
  serviceObject,
  sliceObjects,
} from "./objects.ts";
import { findMismatch, NamedPods } from "./expectation.ts";
import { expectHttp } from "./http_probe.ts";
import { Connections, observe } from "./probes.ts";
import type {
  EndpointSpec,
  EndpointsSpec,
  ExpectSpec,
  Scenario,
  ServiceSpec,
  Step,
} from "../format/scenario.ts";
import type { Subject } from "../subjects/subject.ts";
import { Targets } from "./targets.ts";

/** Runs a scenario with services of these families. It starts and ends with an empty cluster. */
export async function runScenario(
  lab: Lab,
  subject: Subject,
  scenario: Scenario,
  families: readonly Family[],
) {
  const run = new ScenarioRun(lab, subject, families);
  try {
    await subject.publish(clusterObjects());
    await subject.run(scenario.flags);
    for (const [i, step] of scenario.steps.entries()) await run.execute(step, scenario.steps[i + 1]);
    await run.deleteEverything();
  } catch (error) {
    const logTail = subject.log.slice(-1500);
    await subject.reset();
    throw new Error(
      `${error instanceof Error ? error.message : error}\nEnd of the proxy's log:\n${logTail}`,
    );
  } finally {
    await run.connections.closeAll();
    await run.restoreNode();
    // The next scenario uses the same addresses, so it must not find the flows of this one.
    await lab.run("node", ["conntrack", "-F"]);
  }
}

class ScenarioRun {
  readonly #services = new Map<string, ServiceSpec>();
  readonly #endpoints = new Map<string, EndpointsSpec>();
  readonly #manifests: KubernetesObject[] = [];
  readonly #addresses = new ServiceAddresses();
  readonly #targets = new Targets(this.#addresses);
  readonly #namedPods = new NamedPods();
  readonly connections: Connections;
  readonly #heldAddresses = new Set<string>();
  readonly #listeners: Agent[] = [];
  #zone: string | undefined;
  #isStopped = false;

  constructor(
    private readonly lab: Lab,
    private readonly subject: Subject,
    private readonly families: readonly Family[],
  ) {
    this.connections = new Connections(lab, subject.balancesSockets);
  }

  /** Executes a step. Consecutive changes are published together, before the first step that checks their effect. */
  async execute(step: Step, next: Step | undefined): Promise<void> {
    if (isChange(step)) {
      this.#change(step);
      if (!next || !isChange(next)) await this.#publish();
    } else if ("expect" in step) {
      await this.#expect(step.expect);
    } else if ("open" in step) {
      for (const family of this.#familiesOf(step.open)) {
        const { to, protocol } = step.open;
        await this.connections.open(step.open, this.#targets.resolve(to, protocol, family));
      }
    } else if ("send" in step) {
      await this.connections.send(step.send);
    } else if ("reopen" in step) {
      await this.connections.reopen(step.reopen);
    } else if ("wait" in step) {
      await pause(step.wait * 1000);
    } else if ("node zone" in step) {
      this.#zone = step["node zone"];
      // The proxy may receive Nodes independently of Services. The second marker is published after the Node.
      await this.#publish();
      await this.#publish();
    } else if ("hold address" in step) {
      for (const address of this.#addressesOf(step["hold address"])) await this.#hold(address);
    } else if ("release address" in step) {
      for (const address of this.#addressesOf(step["release address"])) await this.#release(address);
    } else if ("listen" in step) {
      this.#listeners.push(await this.lab.serveOnAllAddresses("node", [step.listen]));
    } else if ("restart" in step) {
      await this.subject.stop(step.restart);
      this.subject.start();
      await this.#publish();
    } else if ("stop" in step) {
      await this.subject.stop(step.stop);
      this.#isStopped = true;
    } else {
      this.subject.start();
      this.#isStopped = false;
      await this.#publish();
    }
  }

  /** Removes the listeners and addresses that the scenario added to the node. */
  async restoreNode(): Promise<void> {
    for (const agent of this.#listeners) await agent.stop();
    for (const address of this.#heldAddresses) await this.#release(address);
  }

  /** Deletes all services and waits until the kernel holds what it held before the first one. */
  async deleteEverything(): Promise<void> {
    await this.subject.publish(clusterObjects());
    const deadline = Date.now() + 10_000 * slowness;
    for (;;) {
      this.subject.assertRunning();
      const leftovers = await this.subject.leftovers();
      if (leftovers.length === 0) return;
      if (Date.now() > deadline) {
        const list = leftovers.join("\n");
        throw new Error(
          `all services are deleted, but the kernel state differs from the initial one:\n${list}`,
        );
      }
      await pollPause(20);
    }
  }

  async #expect(spec: ExpectSpec): Promise<void> {
    for (const family of this.#familiesOf(spec)) {
      const target = this.#targets.resolve(spec.to, spec.protocol, family);
      if (spec.http) {
        for (const from of spec.from) await expectHttp(this.lab, from, family, target, spec.http);
        continue;
      }
      const seen = await Promise.all(spec.from.map((from) => observe(this.lab, from, family, target, spec)));
      const mismatch = findMismatch(seen, spec, this.#namedPods, this.subject);
      if (mismatch) throw new Error(mismatch);
      if (spec.as) { for (const observation of seen) this.#namedPods.set(spec.as, observation); }
    }
  }

  #change(step: Change): void {
    if ("service" in step) {
      this.#services.set(step.service.name, step.service);
      this.#targets.set(step.service);
    } else if ("endpoints" in step) {
      this.#endpoints.set(`${step.endpoints.of} ${step.endpoints.slice}`, step.endpoints);
    } else if ("manifest" in step) {
      this.#manifests.push(step.manifest);
    } else if ("delete service" in step) {
      this.#services.delete(step["delete service"]);
    } else if ("delete endpoints" in step) {
      for (const key of this.#endpoints.keys()) {
        if (key.startsWith(`${step["delete endpoints"]} `)) this.#endpoints.delete(key);
      }
    } else if ("add endpoint" in step) {
      const added = step["add endpoint"];
      this.#changeEndpoints((ready) => [...ready, added]);
    } else {
      const name = step["remove endpoint"];
      const removed = isMachine(name) ? name : this.#namedPods.pod(name);
      if (!removed) throw new Error(`remove endpoint: ${name} is neither a machine nor a name given by "as"`);
      this.#changeEndpoints((ready) => ready.filter(({ pod }) => pod !== removed));
    }
  }

  #changeEndpoints(change: (ready: EndpointSpec[]) => EndpointSpec[]): void {
    for (const [key, spec] of this.#endpoints) {
      this.#endpoints.set(key, { ...spec, ready: change(spec.ready) });
    }
  }

  #addressesOf(target: string): readonly string[] {
    return this.families.map((family) => this.#targets.resolve(target, undefined, family).to);
  }

  async #hold(address: string): Promise<void> {
    await this.#changeLoopback("add", address);
    this.#heldAddresses.add(address);
    // An IPv6 address is tentative for a moment and cannot be used until then.
    const tentative = ["ip", "address", "show", "dev", "lo", "tentative"];
    while ((await this.lab.run("node", tentative)).stdout !== "") await pollPause(2);
  }

  async #release(address: string): Promise<void> {
    await this.#changeLoopback("delete", address);
    this.#heldAddresses.delete(address);
  }

  async #changeLoopback(change: "add" | "delete", address: string): Promise<void> {
    const host = `${address}/${address.includes(":") ? 128 : 32}`;
    const { code, stderr } = await this.lab.run("node", ["ip", "address", change, host, "dev", "lo"]);
    if (code !== 0) throw new Error(`ip address ${change} ${host}: ${stderr}`);
  }

  /** Publishes the objects and returns when they are in force. */
  async #publish(): Promise<void> {
    await this.#publishWith(nextMarker());
    // The marker may answer before the rest of its batch is in force. Batches are applied one after the other, so a
    // second marker shows that the first batch is complete.
    if (!this.subject.hasTransactions && !this.#isStopped) await this.#publishWith(nextMarker());
  }

  /** Publishes the objects with a marker service and returns when the marker answers. */
  async #publishWith(marker: Marker): Promise<void> {
    const services = [...this.#services.values(), marker.service];
    const endpoints = [...this.#endpoints.values(), marker.endpoints];
    await this.subject.publish([
      ...clusterObjects(this.#zone),
      ...this.#manifests,
      ...services.map((service) => serviceObject(service, this.families, this.#addresses)),
      ...endpoints.flatMap((spec) => {
        const service = services.find(({ name }) => name === spec.of);
        return sliceObjects(spec, service, this.families);
      }),
    ]);
    if (this.#isStopped) return;
    for (const family of this.families) {
      await this.#waitForAnswer(marker, this.#addresses.of("clusterIP", marker.service.name, family));
    }
  }

  async #waitForAnswer({ port, targetPort }: Marker, to: string): Promise<void> {
    const deadline = Date.now() + 10_000 * slowness;
    for (;;) {
      this.subject.assertRunning();
      const [outcome] = await this.lab.agent("node").probe({ protocol: "TCP", to, port }, {
        timeoutMs: 100 * slowness,
      });
      if (outcome && isAnswered(outcome) && outcome.port === targetPort) return;
      if (Date.now() > deadline) {
        throw new Error(`the published objects are not in force at ${to} after ${10 * slowness} s`);
      }
      await pollPause(2);
    }
  }

  #familiesOf({ family }: { family?: "v4" | "v6" | undefined }): readonly Family[] {
    return family ? [family === "v4" ? "IPv4" : "IPv6"] : this.families;
  }
}

type Change = Extract<
  Step,
  { [Kind in typeof changes[number]]: Record<Kind, unknown> }[typeof changes[number]]
>;

const changes = [
  "service",
  "endpoints",
  "manifest",
  "delete service",
  "delete endpoints",
  "add endpoint",
  "remove endpoint",
] as const;

function isChange(step: Step): step is Change {
  return changes.some((kind) => kind in step);
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
