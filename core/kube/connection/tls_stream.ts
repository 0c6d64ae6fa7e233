import type { TlsClient, TlsSession } from "../../../ffi/tls.ts";
import type { ByteStream } from "./byte_stream.ts";

/** TLS by OpenSSL over another stream. */
export class TlsStream implements ByteStream {
  readonly #under: ByteStream;
  readonly #session: TlsSession;
  readonly #plain = new Uint8Array(16_384);

  private constructor(under: ByteStream, session: TlsSession) {
    this.#under = under;
    this.#session = session;
  }

  /**
   * Makes the handshake. Closes `under` when it fails.
   * @param serverName DNS name or IP address that the server's certificate must contain
   * @throws TlsError
   */
  static async start(under: ByteStream, client: TlsClient, serverName: string): Promise<TlsStream> {
    const session = client.session(serverName);
    const stream = new TlsStream(under, session);
    try {
      await stream.#handshake();
      return stream;
    } catch (error) {
      stream.close();
      throw error;
    }
  }

  async read(): Promise<Uint8Array<ArrayBuffer> | null> {
    for (;;) {
      const count = this.#session.read(this.#plain);
      // TLS 1.3 may answer a message of the server (KeyUpdate).
      await this.#flush();
      if (count === null) return null;
      if (count > 0) return this.#plain.slice(0, count);
      await this.#receive();
    }
  }

  async write(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    this.#session.write(bytes);
    await this.#flush();
  }

  close(): void {
    this.#session[Symbol.dispose]();
    this.#under.close();
  }

  async #handshake(): Promise<void> {
    for (;;) {
      try {
        const isComplete = this.#session.handshake();
        await this.#flush();
        if (isComplete) return;
      } catch (error) {
        // The alert tells the server why.
        await this.#flush().catch(() => {});
        throw error;
      }
      await this.#receive();
    }
  }

  async #flush(): Promise<void> {
    const bytes = this.#session.toSend();
    if (bytes.length > 0) await this.#under.write(bytes);
  }

  async #receive(): Promise<void> {
    const bytes = await this.#under.read();
    // TLS ends with a message, so this end may be an attacker's.
    if (bytes === null) throw new Error("the server closed the connection");
    this.#session.received(bytes);
  }
}
