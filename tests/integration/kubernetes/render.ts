import { relative } from "node:path/posix";
import { parse, parseAllDocuments } from "yaml";
import { peers } from "../../lab/cache.ts";

const root = new URL("../../..", import.meta.url).pathname;

/** A Kubernetes object. */
// deno-lint-ignore no-explicit-any
export type KubernetesObject = any;

/** A run of helm or kubectl. */
export interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs helm on the chart: `helm("template", "--set", "mode=ebpf")`. */
export function helm(command: "lint" | "template", ...args: readonly string[]): Promise<Run> {
  const release = command === "template" ? ["proxy"] : [];
  return run("helm", command, ...release, "deploy/helm/proxy", "--namespace=kube-system", ...args);
}

/** Objects of the chart with these values: `mode=ebpf`. */
export async function chart(...values: readonly string[]): Promise<readonly KubernetesObject[]> {
  return objectsOf(await helm("template", ...values.flatMap((value) => ["--set", value])));
}

/** Objects of a kustomization in deploy/kubernetes: `overlays/ebpf`. */
export async function kustomization(path: string): Promise<readonly KubernetesObject[]> {
  return objectsOf(await run("kubectl", "kustomize", `deploy/kubernetes/${path}`));
}

/** Objects of a kustomization in deploy/kubernetes with a component of it. */
export async function withComponent(
  path: string,
  component: string,
): Promise<readonly KubernetesObject[]> {
  const directory = await Deno.makeTempDir();
  try {
    const refer = (path: string) => relative(directory, `${root}deploy/kubernetes/${path}`);
    const content = { resources: [refer(path)], components: [refer(`components/${component}`)] };
    await Deno.writeTextFile(`${directory}/kustomization.yaml`, JSON.stringify(content));
    return objectsOf(await run("kubectl", "kustomize", directory));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

async function run(program: string, ...args: readonly string[]): Promise<Run> {
  const path = `${peers}/${program}`;
  const options = { args: [...args], cwd: root, env: { KUBECONFIG: "/dev/null" } };
  const { code, stdout, stderr } = await new Deno.Command(path, options).output().catch((error) => {
    throw new Error(`${path} cannot be run: scripts/peers.sh ${program} builds it`, { cause: error });
  });
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: decode(stdout), stderr: decode(stderr) };
}

/**
 * Objects, sorted by kind, such that equal ones have equal effects: lists of named things are sorted by name, the files
 * of a ConfigMap are parsed, and the hash in its name is left out.
 */
function objectsOf({ code, stdout, stderr }: Run): readonly KubernetesObject[] {
  if (code !== 0) throw new Error(stderr);
  const objects: KubernetesObject[] = parseAllDocuments(stdout).map((document) => document.toJS())
    .filter((object) => object !== null);
  return objects.map(normalized).sort((a, b) => compare(a.kind, b.kind));
}

function normalized(object: KubernetesObject): KubernetesObject {
  if (object.kind === "ConfigMap") {
    for (const [file, text] of Object.entries(object.data)) object.data[file] = parse(text as string);
    object.metadata.name = withoutHash(object.metadata.name);
  }
  const pod = object.spec?.template?.spec;
  if (pod !== undefined) {
    const byName = (a: { name: string }, b: { name: string }) => compare(a.name, b.name);
    pod.volumes.sort(byName);
    for (const container of [...pod.containers, ...pod.initContainers ?? []]) {
      container.volumeMounts.sort(byName);
      container.ports?.sort(byName);
    }
    const { configMap } = pod.volumes.find(({ name }: { name: string }) => name === "config");
    configMap.name = withoutHash(configMap.name);
  }
  return object;
}

function withoutHash(name: string): string {
  return name.replace(/^proxy-[0-9a-z]{10}$/, "proxy-HASH");
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
