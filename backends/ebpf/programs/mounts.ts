/** A line of /proc/self/mounts. */
export interface Mount {
  readonly path: string;
  readonly type: string;
}

export function readMounts(): readonly Mount[] {
  return parseMounts(Deno.readTextFileSync("/proc/self/mounts"));
}

/** Mounts in the order in which they were made; a later mount hides earlier ones below its path. */
export function parseMounts(text: string): readonly Mount[] {
  return text.split("\n").flatMap((line) => {
    const [, path, type] = line.split(" ");
    if (path === undefined || type === undefined) return [];
    // White space in paths is escaped in octal.
    return [{
      path: path.replace(/\\([0-7]{3})/g, (_, code) => String.fromCharCode(parseInt(code, 8))),
      type,
    }];
  });
}

/** The mount that contains `path`: the last one with the longest path. */
export function mountOf(path: string, mounts: readonly Mount[]): Mount | undefined {
  let best: Mount | undefined;
  for (const mount of mounts) {
    const isAbove = mount.path === "/" || path === mount.path || path.startsWith(`${mount.path}/`);
    if (isAbove && mount.path.length >= (best?.path.length ?? 0)) best = mount;
  }
  return best;
}

/** Where a path is, after symbolic links, whether it exists or not. */
export interface Location {
  readonly path: string;
  /** Undefined if there is no mount at all. */
  readonly mount: Mount | undefined;
  /** The path is the root of its mount. */
  readonly isRoot: boolean;
}

/** Locates a path. Symbolic links may lead out of the mount that the path names. */
export function locate(path: string, mounts: readonly Mount[] = readMounts()): Location {
  const resolved = resolve(path);
  const mount = mountOf(resolved, mounts);
  return { path: resolved, mount, isRoot: mount?.path === resolved };
}

function resolve(path: string): string {
  try {
    return Deno.realPathSync(path);
  } catch (error) {
    // Without access the path counts as it is written.
    if (!(error instanceof Deno.errors.NotFound) || path === "") return path;
  }
  const end = path.lastIndexOf("/");
  const parent = resolve(path.slice(0, end) || "/");
  return `${parent === "/" ? "" : parent}/${path.slice(end + 1)}`;
}

/** The mount point of cgroup v2. */
export function cgroupRoot(mounts: readonly Mount[]): string | undefined {
  return mounts.find(({ type }) => type === "cgroup2")?.path;
}
