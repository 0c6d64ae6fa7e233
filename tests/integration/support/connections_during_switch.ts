import assert from "node:assert/strict";
import { isAnswered, type Target } from "../../lab/agent.ts";
import type { Lab } from "../../lab/lab.ts";
import { podOf, Traffic } from "../../lab/traffic.ts";

/** New connections during a switch, and some that were open before. */
export class ConnectionsDuringSwitch {
  readonly #traffic: Traffic;

  private constructor(
    private readonly lab: Lab,
    web: Target,
    private readonly held: ReadonlyMap<number, string>,
  ) {
    this.#traffic = new Traffic(lab.agent("outside"), web, { times: 20, pauseMs: 5 });
  }

  /** @param web service whose pods stay the same */
  static async start(lab: Lab, web: Target): Promise<ConnectionsDuringSwitch> {
    const outcomes = await lab.agent("outside").probe(web, { times: 20, keep: true });
    const held = outcomes.filter(isAnswered).map((one) => [one.connection ?? -1, one.pod] as const);
    assert.equal(held.length, 20);
    return new ConnectionsDuringSwitch(lab, web, new Map(held));
  }

  /** Stops making connections. Fails when a connection failed, or when an open one reaches another pod than before. */
  async mustHaveSurvived(what: string): Promise<void> {
    await this.noneMayHaveFailed(what);
    const again = await this.lab.agent("outside").send([...this.held.keys()]);
    assert.deepEqual(again.map(podOf), [...this.held.values()], `every connection keeps its pod: ${what}`);
  }

  /** Stops making connections. Fails when one of the new ones failed. */
  async noneMayHaveFailed(what: string): Promise<void> {
    // Includes the time after the removal, when the kernel destroys chains in the background.
    await new Promise((resolve) => setTimeout(resolve, 500));
    const report = await this.#traffic.stop();
    assert.deepEqual(report.failures.slice(0, 5), [], what);
    assert.ok(report.connections > 100, `${report.connections} connections during ${what}`);
  }
}
