import type { Cluster } from "./cluster.ts";
import { onNode } from "./places.ts";
import { peers } from "../../lab/cache.ts";

const ctr = `${peers}/ctr`;
const built = new URL("../../../dist/image.tar", import.meta.url).pathname;
const image = "localhost/proxy:next";

/**
 * Makes another image of the proxy, with the same program but another digest, and imports it on every node.
 * @returns its name.
 */
export async function addImage(cluster: Cluster): Promise<string> {
  const directory = await Deno.makeTempDir();
  try {
    const oci = `${directory}/oci`;
    await Deno.mkdir(oci);
    await run("tar", "--extract", "--file", built, "--directory", oci);
    const [from] = (await run("umoci", "list", "--layout", oci)).trim().split("\n");
    const label = ["--config.label", "org.opencontainers.image.version=next"];
    await run("umoci", "config", "--image", `${oci}:${from}`, "--tag", image, "--no-history", ...label);
    await run("umoci", "remove", "--image", `${oci}:${from}`);
    await run("umoci", "gc", "--layout", oci);
    await run("tar", "--create", "--file", `${directory}/image.tar`, "--directory", oci, ".");
    for (const node of cluster.nodes) {
      const archive = `${directory}/image.tar`;
      await cluster.run(onNode(node), ctr, "--namespace", "k8s.io", "images", "import", "--local", archive);
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
  return image;
}

async function run(program: string, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(program, { args: [...args] }).output();
  if (code !== 0) throw new Error(`${program} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}
