import { deepEqual, equal, throws } from "node:assert/strict";
import { decodeFirstYaml, decodeYaml, YamlError } from "../../core/yaml.ts";
import { slowness } from "../lab/pace.ts";

const decode = (text: string): unknown => decodeFirstYaml(text).value;

/** Answers of sigs.k8s.io/yaml 1.6.0 (YAMLToJSON). */
const scalars: Readonly<Record<string, unknown>> = {
  // Booleans of YAML 1.1
  ...{
    y: true,
    Y: true,
    yes: true,
    Yes: true,
    YES: true,
    on: true,
    On: true,
    ON: true,
    true: true,
    TRUE: true,
  },
  ...{
    n: false,
    N: false,
    no: false,
    No: false,
    NO: false,
    off: false,
    Off: false,
    OFF: false,
    False: false,
  },
  ...{ yEs: "yEs", oN: "oN", "'yes'": "yes", '"on"': "on", "!!str no": "no", "!!bool y": true },
  ...{ "": null, "~": null, null: null, Null: null, NULL: null, nUll: "nUll", "''": "" },
  // Numbers
  ...{
    "016": 14,
    "-016": -14,
    "+010": 8,
    "0o16": 14,
    "0O16": 14,
    "-0o17": -15,
    "08": 8,
    "0_8": 8,
    "08_1": 81,
  },
  ...{ "0": 0, "00": 0, "-0": 0, "+12": 12, "1_000": 1000, "1__0": 10, _1: "_1", "0777_7": 4095 },
  ...{ "0x1F": 31, "0X1f": 31, "0x_1F": 31, "-0x1f": -31, "0b11": 3, "-0b11": -3, "+0b1": 1, "0b2": "0b2" },
  ...{ "1e3": 1000, "1E5": 100000, "1.5e3": 1500, "1.": 1, "+.5": 0.5, "1_0.5_0": 10.5, "09.5": 9.5 },
  ...{ "1e": "1e", ".e3": ".e3", "0x": "0x", "0b": "0b", "--1": "--1", "+": "+", "1e400": "1e400" },
  ...{ "!!int 16": 16, '!!int "016"': 14, "!!float 016": 14, "!!str 016": "016", "! 16": "16" },
  // Text, where YAML 1.1 has more types
  ...{ "1:30": "1:30", "1:30.5": "1:30.5", "2001-01-01": "2001-01-01", "2001-1-1": "2001-1-1", "=": "=" },
  ...{ "!!timestamp 2001-01-01": "2001-01-01", "10.96.0.10": "10.96.0.10", "!foo 1": "1" },
  ...{ "!!binary aGVsbG8=": "hello", "<<": "<<", "!!set {a}": { a: null }, "!!omap [a: 1]": [{ a: 1 }] },
};

Deno.test("plain text has the type that Kubernetes gives it", () => {
  const decoded = Object.keys(scalars).map((text) => [text, decode(`v: ${text}`)]);
  deepEqual(decoded, Object.entries(scalars).map(([text, v]) => [text, { v }]));
});

Deno.test("plain keys are converted to text, and other keys are rejected", () => {
  deepEqual(decode("y: 1\n016: 2\n1.5: 3\n2001-01-01: 4\n1e3: 5"), {
    true: 1,
    14: 2,
    1.5: 3,
    "2001-01-01": 4,
    1000: 5,
  });
  for (const text of ["~: x", "? [a]\n: x", "? {a: 1}\n: x"]) {
    throws(() => decode(text), /a key must be text, not/);
  }
  equal(Object.getPrototypeOf(decode("__proto__: {a: 1}")), Object.prototype);
});

Deno.test("a merge key adds the keys of a mapping, and keys after it override them", () => {
  deepEqual(decode("b: &b {a: 1, x: 2}\nc:\n  <<: *b\n  a: 2"), { b: { a: 1, x: 2 }, c: { a: 2, x: 2 } });
  deepEqual(decode("a: 2\n<<: {a: 1}"), { a: 1 });
  deepEqual(decode("<<: [{a: 1}, {a: 2, b: 3}]\nc: 1"), { a: 1, b: 3, c: 1 });
  deepEqual(decode("<<: {a: 1}\n<<: {b: 2}"), { a: 1, b: 2 });
  deepEqual(decode("!!merge <<: {a: 1}"), { a: 1 });
  deepEqual(decode("'<<': {a: 1}"), { "<<": { a: 1 } });
  for (const text of ["<<: 1", "<<: ~", "<<: [1]", "<<: [[{a: 1}]]", "a: &a [{b: 1}]\nc: {<<: *a}"]) {
    throws(() => decode(text), /<< needs a mapping/);
  }
});

Deno.test("the last value of a repeated key counts, and the repetition is reported", () => {
  const repeated = (text: string) => {
    const { value, duplicates } = decodeFirstYaml(text);
    return [value, ...duplicates.map(({ key, line }) => `${key}:${line}`)];
  };
  deepEqual(repeated("a: {b: 1}\na: {c: 2, c: 3}\n"), [{ a: { c: 3 } }, "a:2", "c:2"]);
  deepEqual(repeated("yes: 1\ntrue: 2"), [{ true: 2 }, "true:2"]);
  // Overriding a merged key is what merge keys are for.
  deepEqual(repeated("<<: {a: 1}\na: 2"), [{ a: 2 }]);
  deepEqual(repeated("<<: {a: 1}\na: 2\na: 3"), [{ a: 3 }, "a:3"]);
});

Deno.test("an alias means the last anchor of its name before it", () => {
  deepEqual(decode("a: &x 1\nb: &x 2\nc: *x"), { a: 1, b: 2, c: 2 });
  throws(() => decode("a: *b\nb: &b 1"), /alias \*b has no anchor before it/);
  throws(() => decode("a: &a [*a]"), /anchor &a contains itself/);
  const hosts = Array.from({ length: 5000 }, () => "*e").join(", ");
  equal((decode(`e: &e {zone: a}\nall: [${hosts}]`) as { all: unknown[] }).all.length, 5000);
});

Deno.test("an alias bomb is rejected, and many keys are read, in time", () => {
  const start = performance.now();
  const bomb = (entry: (previous: string) => string) =>
    Array.from({ length: 12 }, (_, i) => `l${i}: &l${i} ${entry(i === 0 ? "{a: 1}" : `*l${i - 1}`)}`).join(
      "\n",
    );
  const ten = (previous: string) => Array(10).fill(previous).join(", ");
  throws(() => decode(bomb((previous) => `[${ten(previous)}]`)), /aliases make the document too large/);
  throws(
    () => decode(bomb((previous) => `{<<: [${ten(previous)}], k: [${ten(previous)}]}`)),
    /aliases make the document too large/,
  );
  const many = Array.from({ length: 50_000 }, (_, i) => `k${i}: ${i}`).join("\n");
  equal(Object.keys(decode(many) as object).length, 50_000);
  // Quadratic or exponential time would be minutes; a busy machine needs seconds.
  equal(performance.now() - start < 10_000 * slowness, true);
});

Deno.test("the first document of a configuration file counts, and a manifest may have several", () => {
  equal(decode("# nothing"), null);
  equal(decode(""), null);
  deepEqual(decode("a: 1\n---\nb: ["), { a: 1 });
  deepEqual(decodeYaml("a: 1\n---\nb: 2").map(({ value }) => value), [{ a: 1 }, { b: 2 }]);
});

Deno.test("a syntax error has the line and one line of text", () => {
  throws(() => decode("a: 1\nb: [1, 2\n"), (error) => {
    equal(error instanceof YamlError && error.line, 3);
    equal(error instanceof Error && error.message.includes("\n"), false);
    return true;
  });
});
