import assert from "node:assert/strict";
import type { Service } from "../../../../core/objects/objects.ts";
import { parseObject } from "../../../../core/objects/parse/index.ts";

/** Parses a Service with this annotation. */
function annotated(name: string, value: unknown): { service: Service; problems: readonly string[] } {
  const problems: string[] = [];
  const parsed = parseObject({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", annotations: { [name]: value } },
    spec: { clusterIP: "10.96.0.10", ports: [{ port: 80 }] },
  }, (problem) => problems.push(problem));
  assert.ok("object" in parsed && parsed.object.kind === "Service", JSON.stringify(parsed));
  return { service: parsed.object, problems };
}

Deno.test("an unknown way of balancing is reported and ignored", () => {
  const asked = (written: unknown) => annotated("proxy/balancing", written);
  for (const written of ["random", "maglev"] as const) {
    assert.equal(asked(written).service.balancing, written);
    assert.deepEqual(asked(written).problems, []);
  }
  assert.deepEqual(asked(null).problems, []);
  for (const written of ["Maglev", "", "fair\n", true]) {
    const { service, problems } = asked(written);
    assert.equal(service.balancing, undefined);
    assert.deepEqual(problems, [
      `Service default/web: metadata.annotations["proxy/balancing"]: ${JSON.stringify(written)} ` +
      `is neither "random" nor "maglev"; skipped`,
    ]);
  }
});

Deno.test("another version of the PROXY protocol than v2 is reported and ignored", () => {
  const asked = (written: unknown) => annotated("proxy/proxy-protocol", written);
  assert.deepEqual([asked("v2").service.proxyProtocol, asked("v2").problems], [true, []]);
  assert.deepEqual([asked(null).service.proxyProtocol, asked(null).problems], [undefined, []]);
  for (const written of ["v1", "2", true]) {
    const { service, problems } = asked(written);
    assert.equal(service.proxyProtocol, undefined);
    assert.deepEqual(problems, [
      `Service default/web: metadata.annotations["proxy/proxy-protocol"]: ${JSON.stringify(written)} ` +
      'is not "v2"; skipped',
    ]);
  }
});
