import type { Log } from "../observe/log.ts";

/** A burst (a `git checkout`, an editor's save) is over when nothing happened for so long, in milliseconds. */
const quietTime = 4;
/** … but is handled after so long even when it goes on. */
const longestBurst = 40;
/** A file that was written but not closed counts as unfinished for so long after the last write. */
const longestWrite = 3000;
/**
 * What is not told (files on network file systems; in Deno 2.6 also symbolic links that lead out of the directory)
 * is looked for so often.
 */
const lookInterval = 10_000;
/** The same while inotify sees nothing at all: no directory, no watches left. */
const blindLookInterval = 1000;

/**
 * Tells when files below a directory may have changed: by inotify on the directory and on its parent, so that the
 * directory itself can be removed, renamed and made again; and from time to time in any case.
 */
export class DirectoryWatch implements Disposable {
  readonly #parent: string;
  #below: Watching | undefined;
  #beside: Watching | undefined;
  #paths = new Set<string>();
  /** Files written and not closed since, with the time of the last write. */
  readonly #writing = new Map<string, number>();
  /** Files closed lately, as they were then. */
  readonly #closed = new Map<string, ClosedFile>();
  #burstStart: number | undefined;
  #timer: number | undefined;
  #warned = false;

  constructor(
    private readonly directory: string,
    private readonly log: Log,
    /**
     * Given the absolute paths the kernel named since the last time. More may have changed: what is reached by
     * symbolic links, what lies on file systems that cannot be watched.
     */
    private readonly onSettled: (paths: ReadonlySet<string>) => void,
  ) {
    this.#parent = directory.replace(/\/[^/]+$/, "") || "/";
  }

  /** Somebody is still writing this file: its contents are not complete. A call of onSettled will name it later. */
  isUnfinished(path: string): boolean {
    return this.#writing.has(path);
  }

  /**
   * Watches the directory that `identity` stands for (see directoryIdentity), or only for its coming when that is
   * undefined. Call it before reading the directory, and whenever it may be another one.
   */
  follow(identity: string | undefined): void {
    if (this.#below === undefined || this.#below.identity !== identity) {
      this.#below?.watcher.close();
      this.#below = identity === undefined ? undefined : this.#open(this.directory, identity);
    }
    if (this.#beside === undefined) this.#beside = this.#open(this.#parent, "");
    this.#schedule();
  }

  [Symbol.dispose](): void {
    this.#below?.watcher.close();
    this.#beside?.watcher.close();
    this.#below = this.#beside = undefined;
    clearTimeout(this.#timer);
  }

  #open(path: string, identity: string): Watching | undefined {
    try {
      const root = Deno.realPathSync(path);
      const watcher = Deno.watchFs(root, { recursive: identity !== "" });
      const watching = { watcher, identity, root, path };
      this.#listen(watching);
      return watching;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound) && !this.#warned) {
        this.#warned = true;
        this.log.warn(
          `cannot watch ${path} (${
            error instanceof Error ? error.message : error
          }); looking every second instead. ` +
            "If the kernel has no watches left, raise fs.inotify.max_user_watches and fs.inotify.max_user_instances",
        );
      }
      return undefined;
    }
  }

  async #listen(watching: Watching): Promise<void> {
    try {
      for await (const event of watching.watcher) {
        for (const real of event.paths) {
          const path = watching.path + real.slice(watching.root.length);
          if (watching.identity !== "" || path === this.directory) this.#note(path, event.kind);
        }
        if (event.flag === "rescan") this.#note(this.directory, "any");
      }
    } catch (error) {
      this.log.warn(`watching ${this.directory}: ${error instanceof Error ? error.message : error}`);
    }
    // Closed by us, or by the kernel: the next look opens it again.
    if (this.#beside === watching) this.#beside = undefined;
    if (this.#below === watching) this.#below = undefined;
  }

  #note(path: string, kind: Deno.FsEvent["kind"]): void {
    // The kernel's events for writes end with the one for closing a file that was open for writing ("access"). A
    // file is read only then: between truncation and the last write it looks as if its objects had been removed.
    if (kind === "modify" && this.#isWrite(path)) this.#writing.set(path, performance.now());
    else this.#writing.delete(path);
    if (kind === "access") this.#closed.set(path, { size: statOf(path)?.size ?? 0, at: performance.now() });
    this.#paths.add(path);
    this.#burstStart ??= performance.now();
    this.#schedule();
  }

  /**
   * Whether a "modify" is a write, after which a close comes, or a change of mode, owner or times, after which none
   * does: many programs set those after they closed the file. A write sets both times to now (of which Deno 2.6
   * knows one to the second only), and what replaces a file's contents changes its size at first, to 0.
   */
  #isWrite(path: string): boolean {
    const info = statOf(path);
    if (info?.isFile !== true || this.#closed.get(path)?.size === info.size) return false;
    return secondOf(info.mtime) === secondOf(info.ctime);
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#settle(), this.#delay());
  }

  #delay(): number {
    if (this.#burstStart === undefined) return this.#below ? lookInterval : blindLookInterval;
    const onlyWrites = this.#paths.size > 0 && this.#paths.size === this.#writing.size;
    const patience = onlyWrites ? longestWrite : longestBurst;
    const left = this.#burstStart + patience - performance.now();
    return Math.max(0, Math.min(left, onlyWrites ? longestWrite : quietTime));
  }

  #settle(): void {
    const paths = this.#paths;
    const now = performance.now();
    for (const [path, since] of this.#writing) if (now - since >= longestWrite) this.#writing.delete(path);
    for (const [path, { at }] of this.#closed) if (now - at >= longestWrite) this.#closed.delete(path);
    // What is unfinished stays noted, so that it is read when it is closed or given up waiting for.
    this.#paths = new Set(this.#writing.keys());
    this.#burstStart = this.#paths.size > 0 ? now : undefined;
    this.#schedule();
    this.onSettled(paths);
  }
}

function statOf(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.statSync(path);
  } catch {
    return undefined;
  }
}

function secondOf(time: Date | null): number {
  return Math.floor((time?.getTime() ?? 0) / 1000);
}

interface ClosedFile {
  readonly size: number;
  /** performance.now() */
  readonly at: number;
}

interface Watching {
  readonly watcher: Deno.FsWatcher;
  /** Of the directory watched; "" for its parent. */
  readonly identity: string;
  readonly path: string;
  /** `path` with its symbolic links followed: events are named by it. */
  readonly root: string;
}
