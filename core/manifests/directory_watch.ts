import type { Log } from "../observe/log.ts";

/** A burst of events (a `git checkout`, an editor saving a file) has ended after this time without an event. */
const SETTLE_MS = 4;
/** A burst that does not end is handled after this time. */
const MAX_BURST_MS = 40;
/** A file that was written but not closed counts as incomplete for this time after the last write. */
const MAX_WRITE_MS = 3000;
/**
 * Interval of polling for changes without inotify events: files on network file systems and, in Deno 2.6, symbolic links
 * that lead out of the directory.
 */
const POLL_MS = 10_000;
/** Interval of polling while inotify does not work at all: no directory, or no watches left. */
const POLL_WITHOUT_INOTIFY_MS = 1000;

/**
 * Reports when files below a directory may have changed. Uses inotify on the directory and on its parent, so that the
 * directory itself can be removed, renamed and created again, and polls in addition.
 */
export class DirectoryWatch implements Disposable {
  readonly #parent: string;
  #inside: ActiveWatch | undefined;
  #parentWatch: ActiveWatch | undefined;
  #paths = new Set<string>();
  /** Files that were written and not closed since, with the time of the last write. */
  readonly #writing = new Map<string, number>();
  /** Files that were closed recently, with their state at that time. */
  readonly #closed = new Map<string, ClosedFile>();
  #burstStart: number | undefined;
  #timer: number | undefined;
  #warned = false;
  #isDisposed = false;

  readonly #directory: string;
  readonly #log: Log;
  /**
   * Called with the absolute paths named by inotify since the last call. More files may have changed: those behind
   * symbolic links and on file systems that cannot be watched.
   */
  readonly #onSettled: (paths: ReadonlySet<string>) => void;

  constructor(directory: string, log: Log, onSettled: (paths: ReadonlySet<string>) => void) {
    this.#directory = directory;
    this.#log = log;
    this.#onSettled = onSettled;
    this.#parent = directory.replace(/\/[^/]+$/, "") || "/";
  }

  /** True while the file is being written. A later call of `onSettled` names it. */
  isIncomplete(path: string): boolean {
    return this.#writing.has(path);
  }

  /**
   * Watches the directory with this identity (see directoryIdentity), or only its parent when the identity is undefined.
   * To be called before each read of the directory, because it may have been replaced.
   */
  follow(identity: string | undefined): void {
    if (this.#inside === undefined || this.#inside.identity !== identity) {
      this.#inside?.watcher.close();
      this.#inside = identity === undefined ? undefined : this.#open(this.#directory, identity);
    }
    if (this.#parentWatch === undefined) this.#parentWatch = this.#open(this.#parent, "");
    this.#schedule();
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true;
    this.#inside?.watcher.close();
    this.#parentWatch?.watcher.close();
    this.#inside = this.#parentWatch = undefined;
    clearTimeout(this.#timer);
  }

  #open(path: string, identity: string): ActiveWatch | undefined {
    try {
      const root = Deno.realPathSync(path);
      const watcher = Deno.watchFs(root, { recursive: identity !== "" });
      const watching = { watcher, identity, root, path };
      this.#listen(watching);
      return watching;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound) && !this.#warned) {
        this.#warned = true;
        this.#log.warn(
          `cannot watch ${path} (${
            error instanceof Error ? error.message : error
          }); polling every second instead. ` +
            "If the kernel has no inotify watches left, raise fs.inotify.max_user_watches and fs.inotify.max_user_instances",
        );
      }
      return undefined;
    }
  }

  async #listen(watching: ActiveWatch): Promise<void> {
    try {
      for await (const event of watching.watcher) {
        for (const real of event.paths) {
          const path = watching.path + real.slice(watching.root.length);
          if (watching.identity !== "" || path === this.#directory) this.#note(path, event.kind);
        }
        if (event.flag === "rescan") this.#note(this.#directory, "any");
      }
    } catch (error) {
      this.#log.warn(`watching ${this.#directory}: ${error instanceof Error ? error.message : error}`);
    }
    // The watcher was closed, by us or by the kernel. The next poll opens it again.
    if (this.#parentWatch === watching) this.#parentWatch = undefined;
    if (this.#inside === watching) this.#inside = undefined;
  }

  #note(path: string, kind: Deno.FsEvent["kind"]): void {
    // A write ends with the event for closing a file that was open for writing ("access"). The file is read only
    // then, because between truncation and the last write its objects seem to be removed.
    if (kind === "modify" && this.#isWrite(path)) this.#writing.set(path, performance.now());
    else this.#writing.delete(path);
    if (kind === "access") this.#closed.set(path, { size: statOf(path)?.size ?? 0, at: performance.now() });
    this.#paths.add(path);
    this.#burstStart ??= performance.now();
    this.#schedule();
  }

  /**
   * Tells whether a "modify" event is a write, which a close follows, or a change of mode, owner or times, which no close
   * follows (many programs set those after they have closed the file). A write sets mtime and ctime to now (Deno 2.6
   * reports one of them in seconds only), and a program that replaces the contents truncates the file to 0 first.
   */
  #isWrite(path: string): boolean {
    const info = statOf(path);
    if (info?.isFile !== true || this.#closed.get(path)?.size === info.size) return false;
    return secondOf(info.mtime) === secondOf(info.ctime);
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    // A closed watcher may still deliver an event that was queued before.
    if (this.#isDisposed) return;
    this.#timer = setTimeout(() => this.#settle(), this.#delay());
  }

  #delay(): number {
    if (this.#burstStart === undefined) return this.#inside ? POLL_MS : POLL_WITHOUT_INOTIFY_MS;
    const onlyWrites = this.#paths.size > 0 && this.#paths.size === this.#writing.size;
    const limitMs = onlyWrites ? MAX_WRITE_MS : MAX_BURST_MS;
    const leftMs = this.#burstStart + limitMs - performance.now();
    return Math.max(0, Math.min(leftMs, onlyWrites ? MAX_WRITE_MS : SETTLE_MS));
  }

  #settle(): void {
    const paths = this.#paths;
    const now = performance.now();
    for (const [path, since] of this.#writing) if (now - since >= MAX_WRITE_MS) this.#writing.delete(path);
    for (const [path, { at }] of this.#closed) if (now - at >= MAX_WRITE_MS) this.#closed.delete(path);
    // Incomplete files stay recorded, so that they are read when they are closed or the time limit has passed.
    this.#paths = new Set(this.#writing.keys());
    this.#burstStart = this.#paths.size > 0 ? now : undefined;
    this.#schedule();
    this.#onSettled(paths);
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

interface ActiveWatch {
  readonly watcher: Deno.FsWatcher;
  /** Identity of the watched directory; "" for its parent. */
  readonly identity: string;
  readonly path: string;
  /** `path` with symbolic links resolved. Events carry paths below it. */
  readonly root: string;
}
