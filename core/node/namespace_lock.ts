import { delay } from "../async/wakeup.ts";

/** The holder of the lock, as it describes itself to others. */
export interface HolderDescription {
  /** In its own PID namespace. */
  readonly pid: number;
  /** Its value of --proxy-mode; "" for cleanup. */
  readonly mode: string;
  /** RFC 3339. */
  readonly since: string;
  readonly commandLine: string;
}

/** Command lines are cut to this length, so that a description fits into a message. */
export const MAX_COMMAND_LINE = 1000;

/** Connections beyond this number close the oldest one. Each belongs to a process that waits for the lock. */
const MAX_CONNECTIONS = 16;
/** Delay after a failure to accept, for example because no descriptor is left. */
const ACCEPT_RETRY_MS = 1000;

/**
 * The lock of a network namespace: an abstract Unix socket that this process listens on. The kernel gives the name to
 * one process per network namespace, and takes it back when the process ends, however it ends. There is no file that
 * containers would have to share, or that a crash would leave behind.
 *
 * Every connection receives one line of JSON about the holder, and stays open until the holder ends.
 */
export class NamespaceLock implements Disposable {
  readonly #listener: Deno.UnixListener;
  readonly #answer: Uint8Array<ArrayBuffer>;
  readonly #connections = new Set<Deno.UnixConn>();
  readonly #stop = new AbortController();

  private constructor(listener: Deno.UnixListener, holder: HolderDescription) {
    this.#listener = listener;
    this.#answer = new TextEncoder().encode(JSON.stringify(holder) + "\n");
    this.#serve();
  }

  /**
   * Takes the lock.
   * @param name of the socket, without the leading NUL.
   * @returns undefined if another process has it.
   */
  static take(name: string, holder: HolderDescription): NamespaceLock | undefined {
    try {
      const listener = Deno.listen({ transport: "unix", path: `\0${name}` });
      // Does not keep the process alive.
      listener.unref();
      return new NamespaceLock(listener, holder);
    } catch (error) {
      if (error instanceof Deno.errors.AddrInUse) return undefined;
      throw error;
    }
  }

  /** True while another process waits for the lock. */
  get isAwaited(): boolean {
    return this.#connections.size > 0;
  }

  /** Gives the lock back. */
  [Symbol.dispose](): void {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    this.#listener.close();
    for (const connection of this.#connections) this.#close(connection);
  }

  async #serve(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        const connection = await this.#listener.accept();
        connection.unref();
        this.#tell(connection);
      } catch {
        await delay(ACCEPT_RETRY_MS, this.#stop.signal);
      }
    }
  }

  async #tell(connection: Deno.UnixConn): Promise<void> {
    const [oldest] = this.#connections;
    if (oldest !== undefined && this.#connections.size >= MAX_CONNECTIONS) this.#close(oldest);
    this.#connections.add(connection);
    try {
      await connection.write(this.#answer);
      // Ends when the other side closes. It has nothing to say before.
      await connection.read(new Uint8Array(1));
    } catch {
      // The other side has gone, or the connection was closed here.
    }
    this.#close(connection);
  }

  #close(connection: Deno.UnixConn): void {
    if (this.#connections.delete(connection)) connection.close();
  }
}
