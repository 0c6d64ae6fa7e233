import assert from "node:assert/strict";
import { everyKindOfPlan, everyKindOfSettings } from "../everything.ts";
import { createdBy, goldenName } from "../nf_tables/canonical.ts";
import { FakeTable } from "./batches.ts";
import goldens from "./goldens.json" with { type: "json" };
import { ruleTexts } from "./rule_texts.ts";

const golden = new Map(Object.entries(goldens).map(([name, bytes]) => [name, new Set(bytes.split(" "))]));

Deno.test("every table, chain, set and element is created with the bytes that nft sends for its listing", () => {
  for (const settings of everyKindOfSettings.flat()) {
    const created = createdBy(new FakeTable(everyKindOfPlan, settings).created);
    for (const object of created.filter(({ kind }) => kind !== "rule")) {
      const name = goldenName(object);
      assert.ok(golden.get(name)?.has(object.bytes), `${name}: nft does not send ${object.bytes}`);
    }
  }
});

Deno.test("every rule has the bytes that nft sends for its text", () => {
  for (const settings of everyKindOfSettings.flat()) {
    for (const { kind, family, name, bytes } of createdBy(new FakeTable(everyKindOfPlan, settings).created)) {
      if (kind === "rule") {
        assert.ok(ruleTexts(family).has(bytes), `${family} ${name}: nft does not send ${bytes}`);
      }
    }
  }
});

Deno.test("our batches create everything that nft sends for the listing of a table", () => {
  const created = everyKindOfSettings.flat().flatMap((settings) =>
    createdBy(new FakeTable(everyKindOfPlan, settings).created)
  );
  const ours = new Set(created.map(({ bytes }) => bytes));
  for (const [name, all] of golden) {
    for (const bytes of all) assert.ok(ours.has(bytes), `${name}: we do not send ${bytes}`);
  }
});
