import assert from "node:assert/strict";
import { featureGates } from "../../../../core/config/feature_gates.ts";
import { decodeFirstYaml } from "../../../../core/yaml.ts";
import { parseHead } from "../../../../core/observe/http/request.ts";
import { zpageRoutes, type ZpagesOptions } from "../../../../core/observe/http/zpages.ts";

const options: ZpagesOptions = {
  hasStatusz: true,
  hasFlagz: true,
  flags: { v: "2", "cluster-cidr": "10.244.0.0/16", "nodeport-addresses": "[primary]" },
  paths: ["/metrics", "/metrics/slis", "/healthz", "/api/v1/status", "/"],
};

async function get(path: string, accept = "", more: Partial<ZpagesOptions> = {}) {
  const head = `GET ${path} HTTP/1.1\r\nHost: x${accept === "" ? "" : `\r\nAccept: ${accept}`}`;
  const route = zpageRoutes({ ...options, ...more })[path];
  assert.ok(route !== undefined);
  const response = await route(parseHead(head));
  return { status: response.status, headers: response.headers, body: await response.text() };
}

const FIRST_LINES = (page: string) =>
  `\nkube-proxy ${page}\nWarning: This endpoint is not meant to be machine parseable, has no formatting ` +
  "compatibility guarantees and is for debugging purposes only.\n";

// Compared with kube-proxy 1.37.1.
Deno.test("/statusz has the lines of kube-proxy", async () => {
  const { body, headers } = await get("/statusz");
  assert.equal(headers.get("content-type"), "text/plain; charset=utf-8");
  assert.ok(body.startsWith(FIRST_LINES("statusz")));
  const lines = body.slice(FIRST_LINES("statusz").length).split("\n");
  assert.match(
    lines[1] ?? "",
    /^Started: (Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d UTC \d{4}$/,
  );
  assert.match(lines[2] ?? "", /^Up: \d+ hr \d\d min \d\d sec$/);
  assert.match(lines[3] ?? "", /^Go version: none \(Deno \d/);
  assert.match(lines[4] ?? "", /^Binary version: 1\.37\.0\+proxy\./);
  assert.deepEqual(lines.slice(5), ["Emulation version: 1.37", "Paths: /flagz /healthz /metrics", ""]);
});

Deno.test("/flagz has all flags in the order of their names", async () => {
  const { body } = await get("/flagz");
  assert.equal(
    body,
    `${FIRST_LINES("flagz")}cluster-cidr: 10.244.0.0/16\nnodeport-addresses: [primary]\nv: 2\n`,
  );
});

Deno.test("clients that ask for a version get JSON, the old one with a warning", async () => {
  const json = (version: string, kind: string) => `application/json;g=config.k8s.io;v=${version};as=${kind}`;
  const flagz = await get("/flagz", json("v1beta1", "Flagz"));
  assert.equal(flagz.headers.get("content-type"), json("v1beta1", "Flagz"));
  assert.equal(flagz.headers.get("warning"), null);
  assert.deepEqual(JSON.parse(flagz.body), {
    kind: "Flagz",
    apiVersion: "config.k8s.io/v1beta1",
    metadata: { name: "kube-proxy" },
    flags: options.flags,
  });
  const statusz = await get("/statusz", json("v1alpha1", "Statusz"));
  assert.match(
    statusz.headers.get("warning") ?? "",
    /^299 - "This version of the statusz endpoint is deprecated/,
  );
  const { apiVersion, emulationVersion, paths } = JSON.parse(statusz.body);
  assert.deepEqual([apiVersion, emulationVersion, paths], [
    "config.k8s.io/v1alpha1",
    "1.37",
    ["/flagz", "/healthz", "/metrics"],
  ]);
});

Deno.test("clients get YAML if they ask for it", async () => {
  const type = "application/yaml;g=config.k8s.io;v=v1beta1;as=Flagz";
  const { headers, body } = await get("/flagz", `${type}, text/plain;q=0.5`);
  assert.equal(headers.get("content-type"), type);
  assert.deepEqual(decodeFirstYaml(body).value, {
    kind: "Flagz",
    apiVersion: "config.k8s.io/v1beta1",
    metadata: { name: "kube-proxy" },
    flags: options.flags,
  });
});

Deno.test("browsers get text, and what cannot be had is 406", async () => {
  const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
  assert.ok((await get("/statusz", browser)).body.startsWith(FIRST_LINES("statusz")));
  for (
    const accept of [
      "application/json",
      "application/yaml",
      "application/json;g=config.k8s.io;v=v2;as=Statusz",
      "application/json;g=config.k8s.io;v=v1beta1;as=Flagz",
    ]
  ) {
    const { status, body } = await get("/statusz", accept);
    assert.equal(status, 406, accept);
    assert.match(JSON.parse(body).message, /only the following media types are accepted/);
  }
});

Deno.test("each page has its feature gate, which is on by default", () => {
  assert.deepEqual(Object.keys(zpageRoutes({ ...options, hasStatusz: false })), ["/flagz"]);
  assert.deepEqual(Object.keys(zpageRoutes({ ...options, hasFlagz: false })), ["/statusz"]);
  const on = featureGates({ featureGates: {} }, []).filter(({ enabled }) => enabled).map(({ name }) => name);
  assert.ok(on.includes("ComponentStatusz") && on.includes("ComponentFlagz"));
});
