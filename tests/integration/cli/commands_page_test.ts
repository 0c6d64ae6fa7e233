import assert from "node:assert/strict";
import { Node } from "./support/node.ts";

const project = new URL("../../../", import.meta.url);
const page = await Deno.readTextFile(new URL("docs/commands.md", project));
const example = await Deno.readTextFile(new URL("examples/cluster-ip.yaml", project));

/** An example of the page: a command line, and the parts of its output, without the parts that are left out. */
interface Example {
  readonly args: readonly string[];
  readonly parts: readonly string[];
}

function exampleOf(command: string): Example {
  const block = page.match(new RegExp(`^ {4}\\$ proxy ${command} .*\n(?: {4}.*\n)+`, "m"))?.[0];
  assert(block !== undefined, `docs/commands.md has no example of proxy ${command}`);
  const [line = "", ...output] = block.split("\n").map((text) => text.slice(4));
  const parts = output.join("\n").split(/^…$/m).map((part) => part.trim()).filter((part) => part !== "");
  return { args: line.split(" ").slice(2), parts };
}

/** Asserts that the output has the parts, in this order. */
function assertParts(output: string, parts: readonly string[]): void {
  let from = 0;
  for (const part of parts) {
    const at = output.indexOf(part, from);
    assert(at >= 0, `the output has no\n${part}\nin\n${output}`);
    from = at + part.length;
  }
}

/** A node with the Service of the page, in the directory `services`. */
async function exampleNode(): Promise<Node> {
  const node = await Node.make();
  await node.write("cluster-ip.yaml", example);
  return node;
}

function argsOn(node: Node, { args }: Example): string[] {
  return args.map((arg) => arg === "services" ? node.manifests : arg);
}

Deno.test("the example of proxy diff is its real output", async () => {
  await using node = await exampleNode();
  const before = node.start("--proxy-mode=iptables");
  await before.inForce();
  await before.end();
  const shown = exampleOf("diff");
  const { code, stdout } = await node.run(argsOn(node, shown));
  assert.equal(code, 1);
  assert(shown.parts.length > 2);
  assertParts(stdout, shown.parts);
});

Deno.test("the example of proxy render is its real output", async () => {
  await using node = await exampleNode();
  const shown = exampleOf("render");
  const { code, stdout } = await node.run(argsOn(node, shown));
  assert.equal(code, 0);
  assert(shown.parts.length > 1);
  assertParts(stdout, shown.parts);
});

Deno.test("proxy check has the columns, states and requirements of the page", async () => {
  await using node = await exampleNode();
  const { stdout } = await node.run(["check"]);
  const [header = "", ...rows] = page.match(/^ {4}STATE .*\n(?: {4}.*\n)+/m)?.[0].split("\n") ?? [];
  assert.equal(stdout.split("\n")[0]?.replaceAll(/ +/g, " "), header.trim().replaceAll(/ +/g, " "));
  const names = rows.map((row) => row.trim().split(/ {2,}/)[2] ?? "").filter((name) => name !== "");
  assert(names.length > 5);
  for (const name of names) assert(stdout.includes(`  ${name}  `), name);
});
