import assert from "node:assert/strict";
import { bill, npmPackages, partOfSource } from "../../scripts/release/sbom.ts";
import { project, runScript } from "./image/support/container.ts";

const hash = "a".repeat(64);
const part = (line: string) => partOfSource(line, "1.0.0", (name) => `copyright of ${name}`);

Deno.test("every part of the binary has a licence in the bill of materials", () => {
  assert.equal(part(`${hash}  denort-2.6.10`)?.license, "MIT");
  assert.equal(part(`${hash}  tc.bpf.o`)?.license, "GPL-2.0-only OR Apache-2.0");
  const zlib = part(`${hash}  libz.so.1 (zlib1g 1:1.2.13.dfsg-1 amd64)`);
  assert.equal(zlib?.license, "Zlib");
  assert.equal(zlib?.purl, "pkg:deb/debian/zlib1g@1%3A1.2.13.dfsg-1?arch=amd64");
  assert.equal(zlib?.copyright, "copyright of zlib1g");
  assert.equal(part(`${hash}  deno`), undefined);
  assert.throws(() => part(`${hash}  libnew.so.1 (libnew1 1.0 amd64)`), /libnew1.*add its licence/);
});

Deno.test("the npm packages are those of the bundle, each once", () => {
  const bundle =
    "// npm/yaml/2.9.1/dist/a.js\n// npm/yaml/2.9.1/dist/b.js\n// npm/@scope/name/1.0.0/c.js\n// core/d.ts\n";
  assert.deepEqual(npmPackages(bundle), [{ name: "@scope/name", version: "1.0.0" }, {
    name: "yaml",
    version: "2.9.1",
  }]);
});

Deno.test("the same parts give the same document", () => {
  const document = () =>
    bill(
      { name: "proxy-1.0.0", version: "1.0.0", sha256: hash },
      [part(`${hash}  tc.bpf.o`)!],
      "2026-01-01T00:00:00Z",
    );
  assert.deepEqual(document(), document());
});

Deno.test("scripts/release.sh makes the files of a release, with their hashes and a valid bill of materials", async () => {
  await runScript("scripts/release.sh --draft");
  const { version } = JSON.parse(await Deno.readTextFile(`${project}deno.json`));
  await runScript("cd dist/release && sha256sum --check --strict SHA256SUMS");
  const sums = await Deno.readTextFile(`${project}dist/release/SHA256SUMS`);
  const architecture = Deno.build.arch === "x86_64" ? "amd64" : "arm64";
  const binary = `proxy-${version}-linux-${architecture}`;
  const chart = `proxy-${version}-chart.tgz`;
  for (const file of [binary, `${binary}.spdx.json`, `proxy-${version}-image.tar`, chart, "notes.md"]) {
    assert(sums.includes(`  ${file}\n`), `${file} is in SHA256SUMS`);
  }
  const metadata = await runScript(`tar -xzOf dist/release/${chart} proxy/Chart.yaml`);
  assert.match(metadata, new RegExp(`^appVersion: ${version}$`, "m"));
  // release.sh has validated it.
  const text = await Deno.readTextFile(`${project}dist/release/${binary}.spdx.json`);
  const names = (JSON.parse(text).packages as { name: string }[]).map(({ name }) => name);
  for (
    const name of [
      "proxy",
      "denort",
      "libnl-3-200",
      "libssl3",
      "tc.bpf.o",
      "page.html",
      "yaml",
      "valibot",
      "uplot",
    ]
  ) {
    assert(names.includes(name), name);
  }
  const copyright = await Deno.readTextFile(`${project}deploy/debian/copyright`);
  const bundles = ["proxy.js", "page.js"].map((name) => Deno.readTextFileSync(`${project}dist/${name}`));
  for (const { name } of npmPackages(bundles.join("\n"))) {
    assert(copyright.includes(`(${name})`), `deploy/debian/copyright names the authors of ${name}`);
  }
});
