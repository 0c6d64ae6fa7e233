import assert from "node:assert/strict";
import { run } from "../support/network_namespace.ts";
import { buildImage, Image, imageName, project, runScript } from "./support/container.ts";
import { cache } from "../../lab/cache.ts";

const archive = `${project}dist/image.tar`;

/** 45 MB, so that a node on a slow line has it in time. Denort alone takes 36 MB of it. */
const MAX_BYTES = 45_000_000;

interface Description {
  readonly Architecture: string;
  readonly Labels: Readonly<Record<string, string>>;
  readonly Layers: readonly string[];
}

async function inspect(transport: string): Promise<Description> {
  return JSON.parse(await run("skopeo", "inspect", `${transport}:${archive}`));
}

Deno.test("dist/image.tar", async (t) => {
  await buildImage();

  await t.step("is an OCI archive and an archive of docker save", async () => {
    const oci = await inspect("oci-archive");
    const docker = await inspect("docker-archive");
    assert.equal(oci.Layers.length, 2);
    assert.deepEqual(docker.Labels, oci.Labels);
    assert.equal(docker.Layers.length, 2);
  });

  await t.step("has labels that say what it is, in which version, and from which commit", async () => {
    const { Labels } = await inspect("oci-archive");
    const { version } = JSON.parse(await Deno.readTextFile(`${project}deno.json`));
    const label = (name: string) => Labels[`org.opencontainers.image.${name}`];
    assert.equal(label("title"), "proxy");
    assert.equal(label("version"), version);
    assert.equal(label("licenses"), "Apache-2.0");
    assert.match(label("description") ?? "", /replacement for kube-proxy/);
    assert.match(label("revision") ?? "", /^[0-9a-f]{40}(\+modified)?$/);
  });

  await t.step("is at most 45 MB", async () => {
    const { size } = await Deno.stat(archive);
    assert(size <= MAX_BYTES, `${size} bytes`);
  });

  await t.step("has the same digest when it is built again elsewhere", async () => {
    const digest = await Deno.readTextFile(`${project}dist/image.digest`);
    await Deno.remove(`${project}dist/image.key`);
    await runScript("umask 077; TZ=Pacific/Auckland LC_ALL=C exec scripts/image.sh");
    assert.equal(await Deno.readTextFile(`${project}dist/image.digest`), digest);
  });

  await t.step("is taken by podman load", async () => {
    const storage = await Deno.makeTempDir({ prefix: "podman-" });
    const podman = ["--root", `${storage}/root`, "--runroot", `${storage}/run`, "--storage-driver", "vfs"];
    try {
      assert.match(await run("podman", ...podman, "load", "--input", archive), new RegExp(await imageName()));
    } finally {
      await Deno.remove(storage, { recursive: true });
    }
  });

  await t.step("has the files that deploy/image/Dockerfile copies", async () => {
    await using image = await Image.unpack();
    const root = `${image.directory}/root`;
    await runScript(`scripts/image.sh --root ${root}`);
    assert.equal(await run("diff", "--recursive", "--no-dereference", root, image.rootFileSystem), "");
  });
});

Deno.test("deploy/image/Dockerfile", async (t) => {
  await runScript("scripts/setup.sh release");
  const path = `${project}deploy/image/Dockerfile`;
  const text = await Deno.readTextFile(path);

  await t.step("has no finding of hadolint", async () => {
    assert.equal(await run(`${cache}/release-tools/bin/hadolint`, path), "");
  });

  await t.step(
    "makes an image with the labels, the entry point and the PATH of scripts/image.sh",
    async () => {
      const script = await Deno.readTextFile(`${project}scripts/image.sh`);
      const labels = (source: string) =>
        [...source.matchAll(/org\.opencontainers\.image\.(\w+)=/g)].map(([, name]) => name).sort();
      assert.deepEqual(labels(text), labels(script));
      assert.match(text, /^ENTRYPOINT \["\/proxy"\]$/m);
      assert.match(script, /--config\.entrypoint \/proxy /);
      const path = /^ENV PATH=(.*)$/m.exec(text)?.[1];
      assert(path !== undefined && script.includes(`--config.env PATH=${path} `));
      assert.match(text, /^ARG VERSION=(.*)$/m);
      const { version } = JSON.parse(await Deno.readTextFile(`${project}deno.json`));
      assert.equal(/^ARG VERSION=(.*)$/m.exec(text)?.[1], version);
    },
  );
});
