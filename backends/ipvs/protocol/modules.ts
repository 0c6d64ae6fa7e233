import { insertModule } from "../../../ffi/kernel_modules.ts";

/** Where the running kernel's modules are, and how one is loaded: for tests. */
export interface ModuleFiles {
  readonly directory: string;
  /** @returns false when the kernel did not load it now. */
  readonly insert: (path: string) => boolean;
}

const ofThisKernel: ModuleFiles = {
  directory: `/lib/modules/${Deno.osRelease()}`,
  insert: insertModule,
};

/**
 * Loads a module of the kernel, and those it needs before it. For where the kernel does not load it by itself when it
 * is asked for what is in it: that takes no privilege, but a modprobe on the node.
 * @param name with underscores: `ip_vs_rr`.
 * @returns why it is not loaded by this, in words that go on after "the module cannot be loaded"; undefined when it is.
 */
export function loadModule(
  name: string,
  { directory, insert }: ModuleFiles = ofThisKernel,
): string | undefined {
  let dependencies: string;
  try {
    dependencies = Deno.readTextFileSync(`${directory}/modules.dep`);
  } catch (error) {
    return `from here (${error instanceof Error ? error.message : String(error)})`;
  }
  const files = filesOf(name, dependencies);
  if (files === undefined) return `because this kernel has none of that name in ${directory}`;
  // What is needed most is last. Those loaded before are refused, which is as good.
  const loaded = files.toReversed().map((file) => insert(`${directory}/${file}`));
  if (loaded.at(-1)) return undefined;
  return `because the kernel refused ${directory}/${
    files[0]
  }: it takes CAP_SYS_MODULE and a kernel that is not ` +
    "locked down";
}

/** Of the module and of all it needs, as modules.dep has them: `a.ko.xz: b.ko.xz c.ko.xz`. */
function filesOf(name: string, dependencies: string): readonly [string, ...string[]] | undefined {
  for (const line of dependencies.split("\n")) {
    const [file, needed] = line.split(":");
    if (file === undefined || needed === undefined || moduleOf(file) !== name) continue;
    return [file, ...needed.split(" ").filter((one) => one !== "")];
  }
  return undefined;
}

/** `kernel/net/netfilter/ipvs/ip_vs_rr.ko.xz` holds ip_vs_rr; in file names "-" is as good as "_". */
function moduleOf(file: string): string {
  return file.slice(file.lastIndexOf("/") + 1).replace(/\.ko(\.\w+)?$/, "").replaceAll("-", "_");
}
