/** Manifest files below a directory, by relative path, in path order. */
export type ManifestFiles = ReadonlyMap<string, FileStamp>;

/** Changes when a file is written or replaced, or when its symbolic link points elsewhere. */
export type FileStamp = string;

/**
 * Lists *.yaml, *.yml and *.json, also in subdirectories that are not hidden. Follows symbolic links, so that a mounted
 * ConfigMap (`web.yaml -> ..data/web.yaml`) works. Synchronous, because that takes 5 µs per file and the asynchronous
 * calls six times as much. Skips entries that disappear meanwhile.
 * @throws Deno.errors.NotFound and others for the directory itself
 */
export function findManifests(directory: string): ManifestFiles {
  const found: [string, FileStamp][] = [];
  const seen = new Set<string>();
  const visit = (folder: string, prefix: string): void => {
    for (const entry of Deno.readDirSync(folder)) {
      if (entry.name.startsWith(".")) continue;
      const isManifest = /\.(?:ya?ml|json)$/.test(entry.name);
      if (entry.isFile && !isManifest) continue;
      const path = `${folder}/${entry.name}`;
      const info = statOf(path);
      if (info === undefined) continue;
      if (info.isFile && isManifest) found.push([prefix + entry.name, stampOf(info)]);
      if (info.isDirectory && isNew(info, seen)) {
        ignoringRemoval(() => visit(path, `${prefix}${entry.name}/`));
      }
    }
  };
  isNew(Deno.statSync(directory), seen);
  visit(directory, "");
  return new Map(found.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}

/** Identifies a directory, so that a replacement is noticed; undefined when the directory does not exist. */
export function directoryIdentity(directory: string): string | undefined {
  const info = statOf(directory);
  return info?.isDirectory ? `${Deno.realPathSync(directory)} ${info.dev}:${info.ino}` : undefined;
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

function statOf(path: string): Deno.FileInfo | undefined {
  return ignoringRemoval(() => Deno.statSync(path));
}

function ignoringRemoval<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.FilesystemLoop) {
      return undefined;
    }
    throw error;
  }
}
