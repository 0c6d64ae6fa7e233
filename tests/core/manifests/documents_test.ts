import { deepEqual, equal, throws } from "node:assert/strict";
import { documentsOf, ManifestSyntaxError, objectsOf } from "../../../core/manifests/documents.ts";

const ignore = () => {};

function read(text: string): unknown[] {
  return [...documentsOf(text)].flatMap((document) => objectsOf(document, ignore).map(({ value }) => value));
}

function lines(text: string): number[] {
  return [...documentsOf(text)].flatMap((document) => objectsOf(document, ignore).map(({ line }) => line));
}

Deno.test("a file has one object per non-empty document", () => {
  deepEqual(read("# only\n---\na: 1\n---\n\n# nothing\n---\nb: 2\n---\n"), [{ a: 1 }, { b: 2 }]);
  deepEqual(read("%YAML 1.2\n---\na: 1\n...\n"), [{ a: 1 }]);
  deepEqual(read("\ufeffa: 1\r\n---\r\nb: 2\r\n"), [{ a: 1 }, { b: 2 }]);
  deepEqual(read("--- {a: 1}\n--- # second\nb: 2"), [{ a: 1 }, { b: 2 }]);
  deepEqual(read(""), []);
});

Deno.test("dashes inside text do not end a document", () => {
  deepEqual(read("a: |\n  ---\n  x\nb: x---y\n"), [{ a: "---\nx\n", b: "x---y" }]);
  equal([...documentsOf("a: 1\n---x: 2\n")].length, 1);
});

Deno.test("objects carry the line where they start", () => {
  deepEqual(lines("a: 1\n---\nb: 2\n---\n\nc: 3\n"), [1, 3, 6]);
  deepEqual(lines("kind: List\nitems:\n- a: 1\n  b: 2\n- c: 3\n"), [3, 5]);
  deepEqual(lines('{"kind":"List","items":[{},\n{}]}'), [1, 1]);
});

Deno.test("lists are unpacked, and their items take the kind from the list", () => {
  deepEqual(read('{"apiVersion":"v1","kind":"List","items":[{"kind":"A"},{"kind":"B"}]}'), [
    { kind: "A" },
    { kind: "B" },
  ]);
  deepEqual(read("apiVersion: v1\nkind: ServiceList\nitems: [{x: 1}, {kind: Other}]"), [
    { x: 1, kind: "Service", apiVersion: "v1" },
    { kind: "Other" },
  ]);
  deepEqual(read('{"kind":"List","items":[{"kind":"List","items":[{"kind":"A"}]}]}'), [{ kind: "A" }]);
});

Deno.test("JSON and YAML documents can be mixed in one file", () => {
  deepEqual(read('{"a": 1}\n---\nb: 2\n---\n{c: 3}\n'), [{ a: 1 }, { b: 2 }, { c: 3 }]);
});

Deno.test("a document that cannot be parsed is reported with its line in the file", () => {
  const cases: [text: string, line: number, message: RegExp][] = [
    ["a: 1\n---\nb: [1, 2\n", 4, /flow/i],
    ["x: 1\n---\na: 1\n<<: 2\n", 4, /<< needs a mapping/],
    ["a:\n\tb: 1\n", 2, /tab/i],
    ['{\n"a": 1,\n"b": oops"\n', 4, /./],
    ["a: *nowhere\n", 1, /alias/i],
  ];
  for (const [text, line, message] of cases) {
    throws(() => read(text), (error) => {
      equal(error instanceof ManifestSyntaxError, true, String(error));
      if (error instanceof ManifestSyntaxError) {
        equal(error.line, line, `${text}: ${error.message}`);
        equal(message.test(error.message), true, error.message);
      }
      return true;
    });
  }
});

Deno.test("an alias bomb is rejected before it expands", () => {
  const levels = Array.from({ length: 12 }, (_, i) => {
    const previous = i === 0 ? '"boom"' : `*l${i - 1}`;
    return `l${i}: &l${i} [${Array(10).fill(previous).join(", ")}]`;
  });
  const start = performance.now();
  throws(() => read(levels.join("\n")), /alias/i);
  // Parsing would take half a minute; a busy machine rejects within seconds.
  equal(performance.now() - start < 10_000, true);
});

Deno.test("a document that would block the parser for minutes or overflow its stack is rejected at once", () => {
  throws(() => read("a: " + "[".repeat(20_000)), /nested too deeply/);
  const start = performance.now();
  throws(() => read(`# \n${"a: 1\n".repeat(1_000_000)}`), /may have at most 4 MB.*use JSON/);
  throws(() => read(`{${'"a": 1,\n'.repeat(1_000_000)}`), /may have at most 4 MB.*check its syntax/);
  // Parsing would take half a minute; a busy machine rejects within seconds.
  equal(performance.now() - start < 10_000, true);
});

Deno.test("a repeated key is reported with its line in the file", () => {
  const reported: string[] = [];
  const [, second] = documentsOf("a: 1\n---\nb: 1\nb: 2\n");
  const objects = second && objectsOf(second, (line, problem) => reported.push(`${line}: ${problem}`));
  deepEqual(objects?.map(({ value }) => value), [{ b: 2 }]);
  deepEqual(reported, ['4: the key "b" is repeated; the last value counts']);
});

Deno.test("equal documents have equal fingerprints, and different ones do not", () => {
  const prints = (text: string) => [...documentsOf(text)].map((document) => document.fingerprint);
  const [a, b, c] = prints("---\na: 1\n---\na: 1\n---\na: 2\n");
  equal(a, b);
  equal(a === c, false);
  const many = new Set(Array.from({ length: 100_000 }, (_, i) => prints(`port: ${i}\n`)[0]));
  equal(many.size, 100_000);
});
