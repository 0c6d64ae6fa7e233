/**
 * Client that traffic.ts runs inside a network namespace: sends continuously until its standard input ends.
 *
 *   traffic_client.ts FLOWS      a JSON array of Flow
 *
 * It prints one JSON object per line: {"flow","answered":true} at the first answer; {"flow","failure","at"} for each
 * failure; {"flow","answeredBy","at"} when another pod answers a held or UDP flow; {"reports"} at the end.
 */
import type { Flow, FlowReport } from "./flows.ts";

const CONNECT_LIMIT_MS = 5000;

let isStopped = false;

class Recorder {
  attempts = 0;
  #lastAnswer = Date.now();
  #longestGapMs = 0;
  #slowestMs = 0;
  #current = "";
  #isAnswered = false;
  readonly #pods: Record<string, number> = {};

  constructor(readonly flow: Flow) {}

  answer(pod: string, startedAt: number): void {
    const now = Date.now();
    this.#longestGapMs = Math.max(this.#longestGapMs, now - this.#lastAnswer);
    this.#lastAnswer = now;
    this.#slowestMs = Math.max(this.#slowestMs, now - startedAt);
    this.#pods[pod] = (this.#pods[pod] ?? 0) + 1;
    if (this.flow.kind !== "short" && pod !== this.#current) {
      this.#current = pod;
      print({ flow: this.flow.name, answeredBy: pod, at: now });
    }
    if (!this.#isAnswered) print({ flow: this.flow.name, answered: true });
    this.#isAnswered = true;
  }

  failure(error: unknown, startedAt: number): void {
    const reason = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    print({ flow: this.flow.name, failure: reason, at: startedAt });
  }

  report(): FlowReport {
    return {
      name: this.flow.name,
      kind: this.flow.kind,
      attempts: this.attempts,
      longestGapMs: Math.max(this.#longestGapMs, Date.now() - this.#lastAnswer),
      slowestMs: this.#slowestMs,
      answeredBy: this.#pods,
    };
  }
}

function run(recorder: Recorder): Promise<void> {
  const { kind } = recorder.flow;
  if (kind === "short") return repeatShort(recorder);
  return kind === "held" ? hold(recorder) : exchangeDatagrams(recorder);
}

/** Starts connections at a constant rate, also while earlier ones wait. */
async function repeatShort(recorder: Recorder): Promise<void> {
  const pending = new Set<Promise<void>>();
  while (!isStopped) {
    recorder.attempts++;
    const one = connectOnce(recorder).finally(() => pending.delete(one));
    pending.add(one);
    await pause(recorder.flow.everyMs);
  }
  await Promise.all(pending);
}

async function connectOnce(recorder: Recorder): Promise<void> {
  const startedAt = Date.now();
  let connection: Connection | undefined;
  try {
    connection = await Connection.open(recorder.flow);
    recorder.answer(await connection.hostname("close"), startedAt);
  } catch (error) {
    recorder.failure(error, startedAt);
  } finally {
    connection?.close();
  }
}

/** Keeps one connection open and sends requests on it. After a failure, which is reported, it connects again. */
async function hold(recorder: Recorder): Promise<void> {
  while (!isStopped) {
    let startedAt = Date.now();
    let connection: Connection | undefined;
    recorder.attempts++;
    try {
      connection = await Connection.open(recorder.flow);
      while (!isStopped) {
        startedAt = Date.now();
        recorder.answer(await connection.hostname("keep-alive"), startedAt);
        await pause(recorder.flow.everyMs);
      }
    } catch (error) {
      recorder.failure(error, startedAt);
      await pause(recorder.flow.everyMs);
    } finally {
      connection?.close();
    }
  }
}

/** Sends datagrams from one source port. A datagram without an answer is no failure, but silence. */
async function exchangeDatagrams(recorder: Recorder): Promise<void> {
  const { host, port, fromPort = 0, everyMs } = recorder.flow;
  const family = host.includes(":") ? "::" : "0.0.0.0";
  const socket = Deno.listenDatagram({ transport: "udp", hostname: family, port: fromPort });
  let sentAt = Date.now();
  const receive = async () => {
    for (;;) {
      try {
        const [bytes] = await socket.receive();
        recorder.answer(new TextDecoder().decode(bytes).trim(), sentAt);
      } catch (error) {
        if (error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted) return;
        // An ICMP error, for example from an endpoint that has just ended.
      }
    }
  };
  const receiving = receive();
  const request = new TextEncoder().encode("hostname\n");
  while (!isStopped) {
    sentAt = Date.now();
    recorder.attempts++;
    await socket.send(request, { transport: "udp", hostname: host, port }).catch(() => {});
    await pause(everyMs);
  }
  socket.close();
  await receiving;
}

/** HTTP connection to `agnhost netexec`. Not fetch(), because its pool would hide that a connection was lost. */
class Connection {
  #buffer = "";
  readonly #decoder = new TextDecoder();

  private constructor(private readonly connection: Deno.TcpConn) {}

  static async open({ host, port }: Flow): Promise<Connection> {
    const connecting = Deno.connect({ hostname: host, port });
    try {
      return new Connection(await limited(connecting, "no answer to the SYN"));
    } catch (error) {
      connecting.then((late) => late.close(), () => {});
      throw error;
    }
  }

  async hostname(connection: "close" | "keep-alive"): Promise<string> {
    const request = `GET /hostname HTTP/1.1\r\nHost: traffic\r\nConnection: ${connection}\r\n\r\n`;
    await this.connection.write(new TextEncoder().encode(request));
    return await limited(this.#body(), "no answer to the request");
  }

  close(): void {
    try {
      this.connection.close();
    } catch {
      // The peer has closed it.
    }
  }

  async #body(): Promise<string> {
    const bytes = new Uint8Array(4096);
    for (;;) {
      const match = /^HTTP\/1\.1 200 [^]*?Content-Length: (\d+)\r\n[^]*?\r\n\r\n/i.exec(this.#buffer);
      const end = match === null ? Infinity : match[0].length + Number(match[1]);
      if (match !== null && this.#buffer.length >= end) {
        const body = this.#buffer.slice(match[0].length, end);
        this.#buffer = this.#buffer.slice(end);
        return body;
      }
      const count = await this.connection.read(bytes);
      if (count === null) throw new Error(`the connection ended after ${JSON.stringify(this.#buffer)}`);
      this.#buffer += this.#decoder.decode(bytes.subarray(0, count), { stream: true });
    }
  }
}

async function limited<T>(promise: Promise<T>, problem: string): Promise<T> {
  let timer: number | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${problem} within ${CONNECT_LIMIT_MS} ms`)), CONNECT_LIMIT_MS);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function print(line: unknown): void {
  const bytes = new TextEncoder().encode(JSON.stringify(line) + "\n");
  for (let written = 0; written < bytes.length;) written += Deno.stdout.writeSync(bytes.subarray(written));
}

const flows: readonly Flow[] = JSON.parse(Deno.args[0] ?? "[]");
const recorders = flows.map((flow) => new Recorder(flow));
const runs = recorders.map((recorder) => run(recorder));
for await (const _ of Deno.stdin.readable);
isStopped = true;
// Before the last connections end, so that their end is no part of the longest gap.
const reports = recorders.map((recorder) => recorder.report());
await Promise.all(runs);
print({ reports });
Deno.exit(0);
