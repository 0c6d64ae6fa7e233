import assert from "node:assert/strict";
import { UserError } from "../../../core/user_error.ts";
import { load } from "./loaded.ts";

Deno.test("--traffic-metrics has three levels, and --traffic-metrics-max-services a limit", async () => {
  const { config } = await load(["--traffic-metrics=full", "--traffic-metrics-max-services=7"]);
  assert.deepEqual([config.trafficMetrics, config.trafficMetricsMaxServices], ["full", 7]);
  const { config: defaults } = await load([]);
  assert.deepEqual([defaults.trafficMetrics, defaults.trafficMetricsMaxServices], ["connections", 500]);
});

Deno.test("wrong values of both flags are named in one message", async () => {
  const args = ["--traffic-metrics=all", "--traffic-metrics-max-services=-1"];
  const error = await load(args).then(() => undefined, (error: unknown) => error);
  assert.ok(error instanceof UserError);
  assert.equal(
    error.message,
    "2 settings are wrong:\n" +
      '  --traffic-metrics "all": must be one of off, connections, full\n' +
      "  --traffic-metrics-max-services -1: must be between 0 and 20000",
  );
});
