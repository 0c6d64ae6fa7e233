import assert from "node:assert/strict";
import { EndpointPicker } from "../../../../../backends/userspace/relay/endpoints/endpoint_picker.ts";
import { EventLoop } from "../../../../../backends/userspace/relay/event_loop.ts";
import { UdpReceiver } from "../../../../../backends/userspace/relay/udp/receiver.ts";
import { UdpRelay } from "../../../../../backends/userspace/relay/udp/udp_relay.ts";
import { AF_INET } from "../../../../../ffi/inet.ts";
import { SocketAddress } from "../../../../../ffi/socket/address.ts";
import { EPOLLIN } from "../../../../../ffi/socket/constants.ts";
import { DatagramBatch } from "../../../../../ffi/socket/datagrams.ts";
import { takeError } from "../../../../../ffi/socket/options.ts";
import { closeSocket, sendBytes } from "../../../../../ffi/socket/stream.ts";
import { localPort } from "../../../../../ffi/socket/tcp.ts";
import { bindUdp, connectUdp, udpSocket } from "../../../../../ffi/socket/udp.ts";
import { address, frontend, packed, service } from "../support/services.ts";

const LOOPBACK = "127.0.0.1";
const keepsLibraries = { sanitizeResources: false };

/** A relay with one endpoint and one client. It works only when it is told to, so that a test chooses what waits for it. */
class Scene implements Disposable {
  readonly loop = new EventLoop();
  readonly failures: string[] = [];
  readonly #relay: UdpRelay;
  readonly #receiver = bind();
  readonly #client = udpSocket(AF_INET);
  readonly #batch = new DatagramBatch(8);
  #endpoint = bind();

  constructor() {
    this.#relay = new UdpRelay({
      loop: this.loop,
      picker: new EndpointPicker(),
      endpointFailed: (_service, _endpoint, reason) => this.failures.push(reason),
      warn: (message) => assert.fail(message),
      mark: 0,
      idleMs: 60_000,
      maxFlows: 10,
    });
    const cluster = packed(`${LOOPBACK}:${portOf(this.#endpoint)}`);
    const entry = { service: service({ protocol: "UDP", cluster }), frontend: frontend() };
    const receiver = new UdpReceiver(this.#relay, this.#receiver, "IPv4", { entry });
    this.loop.add(this.#receiver, receiver, EPOLLIN);
    assert(connectUdp(this.#client, at(portOf(this.#receiver))));
  }

  /** The client sends a datagram, which waits for the relay. */
  send(text: string): void {
    sendBytes(this.#client, new TextEncoder().encode(text));
  }

  /** The endpoint takes one datagram, and answers with its text as often as asked. */
  answer(count: number): void {
    assert.equal(this.#batch.receive(this.#endpoint), 1);
    const source = new SocketAddress(AF_INET);
    source.bytes.set(this.#batch.sourceOf(0).subarray(0, source.length));
    assert(connectUdp(this.#endpoint, source));
    for (let index = 0; index < count; index++) assert(this.#batch.forward(0, this.#endpoint));
  }

  /** From now on, the kernel rejects the endpoint's datagrams. */
  closeEndpoint(): void {
    closeSocket(this.#endpoint);
    this.#endpoint = -1;
  }

  /** Answers that have reached the client. */
  answers(): readonly string[] {
    // With CAP_NET_RAW, the relay has passed the error on.
    takeError(this.#client);
    const texts: string[] = [];
    for (let count = 0; (count = this.#batch.receive(this.#client)) > 0;) {
      for (let slot = 0; slot < count; slot++) texts.push(new TextDecoder().decode(this.#batch.copyOf(slot)));
    }
    return texts;
  }

  [Symbol.dispose](): void {
    this.#relay[Symbol.dispose]();
    this.loop[Symbol.dispose]();
    for (const fd of [this.#receiver, this.#client, this.#endpoint]) if (fd >= 0) closeSocket(fd);
  }
}

function at(port: number): SocketAddress {
  const result = new SocketAddress(AF_INET);
  result.set(address(LOOPBACK), port);
  return result;
}

function bind(): number {
  return bindUdp("listen", AF_INET, at(0), 1_000_000);
}

function portOf(fd: number): number {
  return localPort(fd, new SocketAddress(AF_INET));
}

for (
  const { later, name } of [
    { later: ["two"], name: "an ICMP error" },
    { later: ["two", "three"], name: "a datagram that meets an ICMP error" },
  ]
) {
  Deno.test(`answers reach the client when the relay handles ${name} first`, keepsLibraries, () => {
    using scene = new Scene();
    scene.send("one");
    scene.loop.turn();
    // The relay handles what came first: it sends these before it looks for answers.
    for (const text of later) scene.send(text);
    scene.answer(100);
    scene.closeEndpoint();
    scene.loop.turn();
    assert.deepEqual(scene.answers(), new Array(100).fill("one"));
    assert.deepEqual([...new Set(scene.failures)], ["ECONNREFUSED"]);
  });
}
