import { effectiveCapabilities } from "../../../ffi/system/capabilities.ts";
import { insertModule } from "../../../ffi/system/kernel_modules.ts";

/** The directory of the module files, and a function that loads one. The seam for tests. */
export interface ModuleFiles {
  readonly directory: string;
  /** @returns false if the kernel did not load the module. */
  readonly insert: (path: string) => boolean;
}

const RUNNING_KERNEL: ModuleFiles = {
  directory: `/lib/modules/${Deno.osRelease()}`,
  insert: insertModule,
};

/**
 * Loads a kernel module and its dependencies. Needed where the kernel cannot load a module on demand by
 * itself: that takes no privilege, but a modprobe on the node.
 * @param name with underscores: `ip_vs_rr`.
 * @returns why the module was not loaded, to follow "could not be loaded"; undefined if it was.
 */
export function loadModule(
  name: string,
  { directory, insert }: ModuleFiles = RUNNING_KERNEL,
): string | undefined {
  let dependencies: string;
  try {
    dependencies = Deno.readTextFileSync(`${directory}/modules.dep`);
  } catch (error) {
    return `from here (${error instanceof Error ? error.message : String(error)})`;
  }
  const files = filesOf(name, dependencies);
  if (files === undefined) return `because ${directory} has no such module`;
  // Dependencies come last in modules.dep. The kernel rejects a module that is loaded already, which is no
  // error.
  const loaded = files.toReversed().map((file) => insert(`${directory}/${file}`));
  if (loaded.at(-1)) return undefined;
  const why = effectiveCapabilities()?.has("CAP_SYS_MODULE")
    ? "the kernel log says why"
    : "the process lacks CAP_SYS_MODULE";
  return `because the kernel rejected ${directory}/${files[0]}: ${why}`;
}

/** The files of a module and of its dependencies. A line of modules.dep: `a.ko.xz: b.ko.xz c.ko.xz` */
function filesOf(name: string, dependencies: string): readonly [string, ...string[]] | undefined {
  for (const line of dependencies.split("\n")) {
    const [file, needed] = line.split(":");
    if (file === undefined || needed === undefined || moduleOf(file) !== name) continue;
    return [file, ...needed.split(" ").filter((one) => one !== "")];
  }
  return undefined;
}

/** `kernel/net/netfilter/ipvs/ip_vs_rr.ko.xz` holds ip_vs_rr. In file names "-" is equivalent to "_". */
function moduleOf(file: string): string {
  return file.slice(file.lastIndexOf("/") + 1).replace(/\.ko(\.\w+)?$/, "").replaceAll("-", "_");
}
