import assert from "node:assert/strict";
import { emulated, NO_ARM64, prepare } from "../support/arm64.ts";
import { run } from "../support/network_namespace.ts";

const project = new URL("../../../", import.meta.url).pathname;
const archive = `oci-archive:${project}dist/image-all.tar`;

Deno.test({
  name: "one archive has an image for each processor",
  ignore: NO_ARM64,
  async fn(test) {
    await prepare("setup.sh", "release");
    await prepare("build.sh");
    await prepare("build.sh", "--arch", "arm64");
    await prepare("image-index.sh");

    await test.step("each tool finds that of its processor", async () => {
      for (const processor of ["amd64", "arm64"]) {
        const { Architecture, Digest } = JSON.parse(
          await run("skopeo", "--override-arch", processor, "inspect", archive),
        );
        assert.equal(Architecture, processor);
        assert.equal(Digest, (await Deno.readTextFile(`${project}dist/image-all.digest`)).trim());
      }
    });

    await test.step("a node downloads at most 45 MB", async () => {
      for (const image of ["image.tar", "image-arm64.tar"]) {
        const { size } = await Deno.stat(`${project}dist/${image}`);
        assert(size <= 45_000_000, `${image}: ${size} bytes`);
      }
    });

    await test.step("that for arm64 has everything that the program needs", async () => {
      const work = await Deno.makeTempDir();
      try {
        await run("skopeo", "--override-arch", "arm64", "copy", archive, `oci:${work}/oci:proxy`);
        await run("umoci", "unpack", "--image", `${work}/oci:proxy`, `${work}/bundle`);
        const root = `${work}/bundle/rootfs`;
        // libnl is embedded. Its text shows that it was loaded, though the emulator knows no netfilter.
        assert.match(await emulated(root, `${root}/proxy`, "check"), /EPROTONOSUPPORT \(.* libnl: /);
      } finally {
        await Deno.remove(work, { recursive: true });
      }
    });
  },
});
