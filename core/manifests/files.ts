/** Manifest files below a directory. */
export interface ManifestFiles {
  /** Files by relative path, in path order. */
  readonly stamps: ReadonlyMap<string, FileStamp>;
  /** Reasons why files ("team/web.yaml") and subdirectories ("team/") cannot be read, by relative path. */
  readonly unreadable: ReadonlyMap<string, string>;
}

/** Changes when a file is written or replaced, or when its symbolic link points elsewhere. */
export type FileStamp = string;

/** The calls of Deno that read manifests. Tests replace them, because root can read every file. */
export type ManifestFileSystem = Pick<typeof Deno, "readDirSync" | "statSync" | "readTextFileSync">;

/**
 * Lists *.yaml, *.yml and *.json, also in subdirectories that are not hidden. Follows symbolic links, so that a mounted
 * ConfigMap (`web.yaml -> ..data/web.yaml`) works. Synchronous, because that takes 5 µs per file and the asynchronous
 * calls six times as much. Skips entries that disappear meanwhile.
 * @throws Deno.errors.NotFound and others for the directory itself
 */
export function findManifests(directory: string, fileSystem: ManifestFileSystem): ManifestFiles {
  const found: [string, FileStamp][] = [];
  const unreadable = new Map<string, string>();
  const seen = new Set<string>();
  const attempt = <T>(path: string, read: () => T): T | undefined => {
    try {
      return read();
    } catch (error) {
      if (!isRemoval(error)) unreadable.set(path, reasonOf(error));
      return undefined;
    }
  };
  const visit = (folder: string, prefix: string): void => {
    for (const entry of fileSystem.readDirSync(folder)) {
      if (entry.name.startsWith(".")) continue;
      const isManifest = /\.(?:ya?ml|json)$/.test(entry.name);
      if (entry.isFile && !isManifest) continue;
      const path = `${folder}/${entry.name}`;
      const below = `${prefix}${entry.name}/`;
      // A link that cannot be followed counts as a file or as a directory by its name.
      const info = attempt(isManifest ? prefix + entry.name : below, () => fileSystem.statSync(path));
      if (info === undefined) continue;
      if (info.isFile && isManifest) found.push([prefix + entry.name, stampOf(info)]);
      if (info.isDirectory && isNew(info, seen)) attempt(below, () => visit(path, below));
    }
  };
  isNew(fileSystem.statSync(directory), seen);
  visit(directory, "");
  return { stamps: new Map(found.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))), unreadable };
}

/** Reports whether `path` is one of `unreadable`, or below one of them. */
export function isBehind(path: string, unreadable: Iterable<string>): boolean {
  for (const one of unreadable) if (path === one || (one.endsWith("/") && path.startsWith(one))) return true;
  return false;
}

/** Identifies a directory, so that a replacement is noticed; undefined when the directory does not exist. */
export function directoryIdentity(directory: string): string | undefined {
  try {
    const info = Deno.statSync(directory);
    return info.isDirectory ? `${Deno.realPathSync(directory)} ${info.dev}:${info.ino}` : undefined;
  } catch (error) {
    if (isRemoval(error)) return undefined;
    throw error;
  }
}

/** In bytes. 50,000 services of 10 endpoints each as indented JSON are less. */
const MAX_FILE_BYTES = 256 * 1024 * 1024;

/** @throws Error when the file cannot be read or is too large */
export function readManifest(path: string, fileSystem: ManifestFileSystem): string {
  const { size } = fileSystem.statSync(path);
  if (size > MAX_FILE_BYTES) {
    throw new Error(
      `it has ${megabytes(size)} MB, but at most ${megabytes(MAX_FILE_BYTES)} MB are allowed; split it`,
    );
  }
  return fileSystem.readTextFileSync(path);
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1024 / 1024);
}

function stampOf(info: Deno.FileInfo): FileStamp {
  return `${info.dev}:${info.ino}:${info.size}:${info.mtime?.getTime()}:${info.ctime?.getTime()}`;
}

/** False for a directory that was visited already, because a symbolic link leads back up. */
function isNew(info: Deno.FileInfo, seen: Set<string>): boolean {
  const identity = `${info.dev}:${info.ino}`;
  if (seen.has(identity)) return false;
  seen.add(identity);
  return true;
}

function isRemoval(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory ||
    error instanceof Deno.errors.FilesystemLoop;
}
