import assert from "node:assert/strict";
import { assertComplaint, Node } from "./support/node.ts";
import { reachable, service, slice } from "./support/objects.ts";

Deno.test("a missing manifest directory is one message", async () => {
  await using node = await Node.make();
  for (const path of [`${node.directory}/missing`, "/etc/passwd"]) {
    const finished = await node.run([`--manifests=${path}`, ...node.identity]);
    assertComplaint(finished, new RegExp(`--manifests ${path}: no such directory; create it`));
  }
});

Deno.test("a broken manifest is logged with its line, and its last valid version stays in force", async () => {
  await using node = await Node.make();
  const yaml = (clusterIP: string) =>
    reachable("web", clusterIP).map((one) => JSON.stringify(one)).join("\n---\n");
  await node.write("web.yaml", yaml("10.96.0.10"));
  await node.write("other.yaml", reachable("other", "10.96.0.20"));
  await using proxy = node.start();
  await proxy.inForce();
  const [other, good] = ["10.96.0.20:80 default/other", "10.96.0.10:80 default/web"];
  assert.deepEqual(await node.services(), [good, other]);

  await node.write("web.yaml", `${yaml("10.96.0.11")}\n---\nkind: Service\nspec: }\n`);
  await proxy.logs(/"web\.yaml:6: .*; its last valid version stays in force"/);
  assert.deepEqual(await node.services(), [good, other]);

  await node.write("web.yaml", "kind: Service: what\n");
  await proxy.logs(/"web\.yaml:1: .*; its last valid version stays in force"/);
  await node.write("other.yaml", reachable("other", "10.96.0.21"));
  await untilServices(["10.96.0.10:80 default/web", "10.96.0.21:80 default/other"]);

  await node.write("web.yaml", yaml("10.96.0.12"));
  await untilServices(["10.96.0.12:80 default/web", "10.96.0.21:80 default/other"]);

  async function untilServices(expected: readonly string[]): Promise<void> {
    await proxy.until(async () => (await node.services()).join() === expected.join(), expected.join(" and "));
  }
});

Deno.test("a restart with a broken manifest interrupts nothing, and --cleanup forgets it", async () => {
  await using node = await Node.make();
  await node.write("web.yaml", reachable("web", "10.96.0.10"));
  await node.write("other.yaml", reachable("other", "10.96.0.20"));
  const both = ["10.96.0.10:80 default/web", "10.96.0.20:80 default/other"];
  await using first = node.start();
  await first.inForce();
  await first.end("SIGKILL");
  await node.write("web.yaml", "kind: [");
  {
    await using second = node.start();
    await second.logs(/web\.yaml is broken .* nothing is programmed/);
    await node.write("other.yaml", reachable("other", "10.96.0.21"));
    assert.deepEqual(await node.services(), both);
    assert.equal((await second.health()).body.source.connected, false);
    await node.write("web.yaml", reachable("web", "10.96.0.10"));
    await second.until(
      async () => (await node.services()).join() === "10.96.0.10:80 default/web,10.96.0.21:80 default/other",
      "both services",
    );
    await second.end();
  }
  await node.write("web.yaml", "kind: [");
  assert.equal((await node.run(["--cleanup"])).code, 0);
  await using third = node.start();
  await third.inForce();
  assert.deepEqual(await node.services(), ["10.96.0.21:80 default/other"]);
});

Deno.test("hostile manifests are logged and skipped, the others are in force, and health responds", async () => {
  await using node = await Node.make();
  const hostile: readonly (readonly [file: string, contents: string | readonly object[], message: RegExp])[] =
    [
      ["name.json", [service("n".repeat(1_000_000), "10.96.1.1")], /Service: metadata\.name: .*at most 253/],
      [
        "port-name.json",
        [service("p", "10.96.1.2", { ports: [{ name: "p".repeat(1_000_000), port: 80 }] })],
        /default\/p/,
      ],
      [
        "port-high.json",
        [service("high", "10.96.1.3", { ports: [{ port: 65536 }] })],
        /default\/high: .*65536 is not a port/,
      ],
      [
        "port-zero.json",
        [service("zero", "10.96.1.4", { ports: [{ port: 0 }] })],
        /default\/zero: .*0 is not a port/,
      ],
      [
        "port-below.json",
        [service("below", "10.96.1.5", { ports: [{ port: -1 }] })],
        /default\/below: .*-1 is not a port/,
      ],
      [
        "port-nan.yaml",
        "{ apiVersion: v1, kind: Service, metadata: { name: nan }, spec: { clusterIP: 10.96.1.6, ports: [{ port: .nan }] } }",
        /default\/nan: .*NaN is not a port/,
      ],
      ["address.json", [service("address", "10.96.1.256")], /default\/address: .*10\.96\.1\.256/],
      [
        "prototype.json",
        [service("__proto__", "10.96.1.7")],
        /metadata\.name: \\"__proto__\\" is not a name/,
      ],
      [
        "constructor.json",
        '{ "__proto__": { "kind": "Service" }, "metadata": { "name": "constructor" } }',
        /kind: missing/,
      ],
      ["deep.json", '{"a":'.repeat(200_000) + "1" + "}".repeat(200_000), /kind: missing/],
      ["deep.yaml", "a: " + "[".repeat(20_000), /nested too deeply/],
      ["alias-bomb.yaml", aliasBomb(), /[Aa]lias/],
      [
        "list.json",
        [{ apiVersion: "v1", kind: "List", items: [null, 1, [], { kind: 5 }] }],
        /kind: 5 is not a string/,
      ],
      [
        "cut-off.json",
        JSON.stringify(service("cut-off", "10.96.1.8")).slice(0, -20),
        /Missing closing|nothing of this file/,
      ],
      [
        "cut-off.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: { name: cut\n",
        /no object of this file is in force/,
      ],
      ["binary.yaml", "\0\x01\x02".repeat(1000), /not a Kubernetes object/],
      ["slow.yaml", "a: 1\n".repeat(1_000_000), /may have at most 4 MB/],
    ];
  for (const [file, contents] of hostile) await node.write(file, contents);
  await Deno.writeTextFile(`${node.manifests}/huge.json`, "");
  await Deno.truncate(`${node.manifests}/huge.json`, 3e9);
  await Deno.symlink("/dev/zero", `${node.manifests}/endless.json`);
  await node.write("many.json", [
    service("many", "10.96.0.30"),
    slice("many", Array.from({ length: 100_000 }, (_, i) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`)),
  ]);
  await node.write("good.json", reachable("good", "10.96.0.10"));

  await using proxy = node.start();
  await proxy.inForce();
  const line = (file: string, rest: RegExp) =>
    new RegExp(`"${file.replace(".", "\\.")}:\\d+: .*${rest.source}`);
  for (const [file, , message] of hostile) assert.match(proxy.log, line(file, message));
  assert.match(
    proxy.log,
    /"huge\.json: cannot be read: it has 2861 MB, but at most 256 MB are allowed; split it/,
  );
  assert.ok(proxy.log.length < 20_000, `${proxy.log.length} characters of log`);
  assert.deepEqual(await node.services(), ["10.96.0.10:80 default/good", "10.96.0.30:80 default/many"]);
  assert.equal((await proxy.health()).status, 200);
  const peak = proxy.peakMemory / 1e6;
  assert.ok(peak < 400, `${peak} MB at most`);
});

Deno.test("if two Services have one ClusterIP, the first by name gets it; the other is logged and takes over later", async () => {
  await using node = await Node.make();
  await node.write("a.json", reachable("first", "10.96.0.30"));
  await node.write("b.json", reachable("second", "10.96.0.30"));
  await using proxy = node.start();
  await proxy.inForce();
  assert.match(proxy.log, /10\.96\.0\.30:80\/TCP of default\/second is held by default\/first/);
  assert.deepEqual(await node.services(), ["10.96.0.30:80 default/first"]);
  await Deno.remove(`${node.manifests}/a.json`);
  const second = async () => (await node.services()).join() === "10.96.0.30:80 default/second";
  await proxy.until(second, "second service in force");
});

Deno.test("addresses with leading zeros are read as the API reads them", async () => {
  await using node = await Node.make();
  await node.write("zeros.json", reachable("zeros", "010.096.000.040", "10.244.001.011"));
  await using proxy = node.start();
  await proxy.inForce();
  assert.deepEqual(await node.services(), ["10.96.0.40:80 default/zeros"]);
  assert.match(await node.ruleset(), /10\.244\.1\.11 \. 8080/);
});

Deno.test("SIGHUP reads everything again", async () => {
  await using node = await Node.make();
  await node.write("web.json", reachable("web", "10.96.0.10"));
  await node.write("broken.yaml", "kind: [");
  await using proxy = node.start();
  await proxy.inForce();
  const complaints = () => proxy.log.match(/broken\.yaml:1: /g)?.length ?? 0;
  assert.equal(complaints(), 1);
  proxy.signal("SIGHUP");
  await proxy.until(() => complaints() === 2, "second complaint about the broken file");
  assert.deepEqual(await node.services(), ["10.96.0.10:80 default/web"]);
});

/** Nine levels of nine aliases each: 387 million nodes from 300 bytes. */
function aliasBomb(): string {
  const levels = Array.from(
    { length: 9 },
    (_, i) => `l${i}: &l${i} [${Array(9).fill(i === 0 ? "x" : `*l${i - 1}`)}]`,
  );
  return levels.join("\n");
}
