import assert from "node:assert/strict";
import { type Agent, isAnswered, type Target } from "../../lab/agent.ts";
import type { Lab } from "../../lab/lab.ts";
import type { MachineName } from "../../lab/topology.ts";
import { podOf, Traffic } from "../../lab/traffic.ts";

/** New connections during a switch, and some that were open before. */
export class ConnectionsDuringSwitch {
  readonly #traffic: Traffic;

  private constructor(
    private readonly client: Agent,
    private readonly web: Target,
    private readonly held: ReadonlyMap<number, string>,
  ) {
    this.#traffic = new Traffic(client, web, { times: 20, pauseMs: 5 });
  }

  /** @param web service whose pods stay the same */
  static async start(lab: Lab, web: Target, from: MachineName = "outside"): Promise<ConnectionsDuringSwitch> {
    const client = lab.agent(from);
    const outcomes = await client.probe(web, { times: 20, keep: true });
    const held = outcomes.filter(isAnswered).map((one) => [one.connection ?? -1, one.pod] as const);
    assert.equal(held.length, 20, `connections of ${from} to ${web.to}:${web.port}`);
    return new ConnectionsDuringSwitch(client, web, new Map(held));
  }

  /** Stops making connections. Fails when a connection failed, or when an open one reaches another pod than before. */
  async mustHaveSurvived(what: string): Promise<void> {
    await this.noneMayHaveFailed(what);
    const again = await this.client.send([...this.held.keys()]);
    const { name } = this.client;
    const target = `${name} to ${this.web.to}:${this.web.port}`;
    assert.deepEqual(
      again.map(podOf),
      [...this.held.values()],
      `connections keep their pod, ${target}: ${what}`,
    );
    await this.client.close([...this.held.keys()]);
  }

  /** Stops making connections. Fails when one of the new ones failed. */
  async noneMayHaveFailed(what: string): Promise<void> {
    // Includes the time after the removal, when the kernel destroys chains in the background.
    await new Promise((resolve) => setTimeout(resolve, 500));
    const report = await this.#traffic.stop();
    const { failures, connections } = report;
    assert.deepEqual(failures.slice(0, 5), [], `${failures.length} of ${connections} failed: ${what}`);
    assert.ok(report.connections > 100, `${report.connections} connections during ${what}`);
  }
}
