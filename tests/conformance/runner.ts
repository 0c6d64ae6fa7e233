import type { Family } from "../../core/net/protocol.ts";
import type { Lab } from "../lab/lab.ts";
import { type Agent, isAnswered } from "../lab/agent.ts";
import { beforeNextLook, slowness } from "../lab/pace.ts";
import { type Marker, nextMarker } from "./marker.ts";
import {
  clusterObjects,
  isMachine,
  type KubernetesObject,
  ServiceAddresses,
  serviceObject,
  sliceObjects,
} from "./objects.ts";
import { complain, Remembered } from "./expectation.ts";
import { expectHttp } from "./http_probe.ts";
import { Connections, observe } from "./probes.ts";
import type { EndpointSpec, EndpointsSpec, ExpectSpec, Scenario, ServiceSpec, Step } from "./scenario.ts";
import type { Subject } from "./subject.ts";
import { Targets } from "./targets.ts";

/** Runs a scenario with services of these families, from an empty cluster to an empty cluster. */
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
    for (const [i, step] of scenario.steps.entries()) await run.take(step, scenario.steps[i + 1]);
    await run.deleteEverything();
  } catch (error) {
    const lastWords = subject.log.slice(-1500);
    await subject.reset();
    throw new Error(
      `${error instanceof Error ? error.message : error}\nThe log of the proxy ends:\n${lastWords}`,
    );
  } finally {
    await run.connections.closeAll();
    await run.releaseNode();
    // Or a later scenario would meet the flows of this one, at the same addresses.
    await lab.run("node", ["conntrack", "-F"]);
  }
}

class ScenarioRun {
  readonly #services = new Map<string, ServiceSpec>();
  readonly #endpoints = new Map<string, EndpointsSpec>();
  readonly #manifests: KubernetesObject[] = [];
  readonly #addresses = new ServiceAddresses();
  readonly #targets = new Targets(this.#addresses);
  readonly #remembered = new Remembered();
  readonly connections: Connections;
  readonly #held = new Set<string>();
  readonly #listening: Agent[] = [];
  #zone: string | undefined;
  #isAway = false;

  constructor(
    private readonly lab: Lab,
    private readonly subject: Subject,
    private readonly families: readonly Family[],
  ) {
    this.connections = new Connections(lab, subject.balancesSockets);
  }

  /** Changes that follow one another are published together, before the first step that looks at their effect. */
  async take(step: Step, next: Step | undefined): Promise<void> {
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
      // Nodes may come to the proxy by another way than services: the second marker comes after the node.
      await this.#publish();
      await this.#publish();
    } else if ("hold address" in step) {
      for (const address of this.#addressesOf(step["hold address"])) await this.#hold(address);
    } else if ("release address" in step) {
      for (const address of this.#addressesOf(step["release address"])) await this.#release(address);
    } else if ("listen" in step) {
      this.#listening.push(await this.lab.serveOnAllAddresses("node", [step.listen]));
    } else if ("restart" in step) {
      await this.subject.stop(step.restart);
      this.subject.start();
      await this.#publish();
    } else if ("stop" in step) {
      await this.subject.stop(step.stop);
      this.#isAway = true;
    } else {
      this.subject.start();
      this.#isAway = false;
      await this.#publish();
    }
  }

  /** Takes from node what the scenario gave it. */
  async releaseNode(): Promise<void> {
    for (const agent of this.#listening) await agent.stop();
    for (const address of this.#held) await this.#release(address);
  }

  async deleteEverything(): Promise<void> {
    await this.subject.publish(clusterObjects());
    const until = Date.now() + 10_000 * slowness;
    for (;;) {
      this.subject.mustRun();
      const left = await this.subject.leftovers();
      if (left.length === 0) return;
      if (Date.now() > until) {
        throw new Error(`everything is deleted, but the kernel is not as before:\n${left.join("\n")}`);
      }
      await beforeNextLook(20);
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
      const complaint = complain(seen, spec, this.#remembered, this.subject.balancesSockets);
      if (complaint) throw new Error(complaint);
      if (spec.as) { for (const observation of seen) this.#remembered.note(spec.as, observation); }
    }
  }

  #change(step: Change): void {
    if ("service" in step) {
      this.#services.set(step.service.name, step.service);
      this.#targets.know(step.service);
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
      const gone = isMachine(name) ? name : this.#remembered.pod(name);
      if (!gone) {
        throw new Error(`remove endpoint: ${name} is no machine, and nothing was remembered as ${name}`);
      }
      this.#changeEndpoints((ready) => ready.filter(({ pod }) => pod !== gone));
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
    await this.#ofNode("add", address);
    this.#held.add(address);
    // The kernel looks at an IPv6 address a moment later, and until then nobody can use it.
    const tentative = ["ip", "address", "show", "dev", "lo", "tentative"];
    while ((await this.lab.run("node", tentative)).stdout !== "") await beforeNextLook(2);
  }

  async #release(address: string): Promise<void> {
    await this.#ofNode("delete", address);
    this.#held.delete(address);
  }

  async #ofNode(change: "add" | "delete", address: string): Promise<void> {
    const host = `${address}/${address.includes(":") ? 128 : 32}`;
    const { code, stderr } = await this.lab.run("node", ["ip", "address", change, host, "dev", "lo"]);
    if (code !== 0) throw new Error(`ip address ${change} ${host}: ${stderr}`);
  }

  /** Returns when what is published is in force. */
  async #publish(): Promise<void> {
    await this.#publishWith(nextMarker());
    // One batch comes after the other; but within one, the marker may answer before all else is done.
    if (!this.subject.hasTransactions && !this.#isAway) await this.#publishWith(nextMarker());
  }

  /** Returns when a marker service that goes with what is published answers. */
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
    if (this.#isAway) return;
    for (const family of this.families) {
      await this.#untilAnswers(marker, this.#addresses.of("clusterIP", marker.service.name, family));
    }
  }

  async #untilAnswers({ port, targetPort }: Marker, to: string): Promise<void> {
    const until = Date.now() + 10_000 * slowness;
    for (;;) {
      this.subject.mustRun();
      const [outcome] = await this.lab.agent("node").probe({ protocol: "TCP", to, port }, { timeoutMs: 100 });
      if (outcome && isAnswered(outcome) && outcome.port === targetPort) return;
      if (Date.now() > until) {
        throw new Error(`what was published is not in force at ${to} after ${10 * slowness} s`);
      }
      await beforeNextLook(2);
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
