import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { isIPv6 } from "node:net";
import { run } from "../../support/network_namespace.ts";

/** A UDP socket of a client, with answers as text. */
export class UdpClient implements Disposable {
  readonly #socket: Socket;
  readonly #answers: string[] = [];
  #arrived = Promise.withResolvers<void>();

  static async bind(hostname: string, port = 0): Promise<UdpClient> {
    return new UdpClient(await bound(hostname, port));
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("message", (bytes, { address, port }) => {
      this.#answers.push(`${bytes} from ${address}:${port}`);
      this.#arrived.resolve();
    });
  }

  /** Sends a question and returns the next answer as `text from address:port`; undefined if none comes in time. */
  async ask(text: string, hostname: string, port: number, timeoutMs = 2000): Promise<string | undefined> {
    void this.tell(text, hostname, port);
    const waiting = new Promise<void>((resolve) => setTimeout(resolve, timeoutMs));
    if (this.#answers.length === 0) await Promise.race([this.#arrived.promise, waiting]);
    this.#arrived = Promise.withResolvers();
    return this.#answers.shift();
  }

  /** Sends a datagram without waiting for an answer. */
  async tell(text: string, hostname: string, port: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#socket.send(text, port, hostname, (error) => error === null ? resolve() : reject(error));
    await promise;
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}

/** Answers each datagram with its own name and the text. */
export class UdpServer implements Disposable {
  readonly #socket: Socket;

  static async bind(name: string, hostname: string, port = 5353): Promise<UdpServer> {
    return new UdpServer(name, await bound(hostname, port));
  }

  private constructor(name: string, socket: Socket) {
    this.#socket = socket;
    socket.on("message", (bytes, { address, port }) => socket.send(`${name}: ${bytes}`, port, address));
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}

/** Receives datagrams, and never answers. */
export class UdpSink implements Disposable {
  received = 0;
  readonly #socket: Socket;

  static async bind(hostname: string, port = 5353): Promise<UdpSink> {
    return new UdpSink(await bound(hostname, port));
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("message", () => this.received++);
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}

/** Asks from a connected socket of Python, which reports ICMP errors. @returns the answer, or the name of the error. */
export async function askConnected(text: string, hostname: string, port: number): Promise<string> {
  const script = `
import errno, socket, sys
text, host, port = sys.argv[1:]
client = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(5)
client.connect((host, int(port)))
try:
    client.send(text.encode())
    print(client.recv(65536).decode())
except TimeoutError:
    print("no answer")
except OSError as error:
    print(errno.errorcode[error.errno])
`;
  return (await run("python3", "-c", script, text, hostname, `${port}`)).trim();
}

async function bound(hostname: string, port: number): Promise<Socket> {
  const socket = createSocket(isIPv6(hostname) ? "udp6" : "udp4");
  socket.bind(port, hostname);
  await once(socket, "listening");
  return socket;
}
