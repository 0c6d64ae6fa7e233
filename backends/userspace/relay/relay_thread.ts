import { formatSocketAddress } from "../../../core/net/address.ts";
import { printedNameOf } from "../../../core/plan/plan.ts";
import { collectGarbage, openFileLimit } from "../../../ffi/system/process.ts";
import { EPOLLIN } from "../../../ffi/socket/constants.ts";
import { WakeCounter } from "../../../ffi/socket/wake.ts";
import { Drain } from "./drain.ts";
import { EndpointPicker } from "./endpoints/endpoint_picker.ts";
import { unpackEndpoint } from "./endpoints/packed_endpoints.ts";
import { EventLoop, type EventTarget } from "./event_loop.ts";
import { fileBudget } from "./file_budget.ts";
import { HandOver } from "./listeners/hand_over.ts";
import { InheritedSockets } from "./listeners/inherited_sockets.ts";
import type { ListenerSet } from "./listeners/listener_set.ts";
import type {
  RelayCommand,
  RelayedProtocol,
  RelayEvent,
  RelayReport,
  RelaySettings,
  SharedListener,
} from "./messages.ts";
import { RateLimitedWarnings, type Warn } from "./rate_limited_warnings.ts";
import { type FrontendEntry, type Service, ServiceTable } from "./services/service_table.ts";
import { TcpListeners } from "./tcp/listeners.ts";
import { PipePool } from "./tcp/pipe_pool.ts";
import { TcpRelay } from "./tcp/tcp_relay.ts";
import { Transfer } from "./tcp/transfer.ts";
import { udpListeners } from "./udp/listeners.ts";
import { UdpRelay } from "./udp/udp_relay.ts";

/** Largest transfer through the buffer, and through a pipe. */
const BUFFER_BYTES = 128 * 1024;
const PIPE_BYTES = 256 * 1024;

/** Everything that runs in the thread of the relay. */
export class RelayThread implements EventTarget, Disposable {
  readonly #loop = new EventLoop();
  readonly #picker = new EndpointPicker();
  readonly #wake: WakeCounter;
  readonly #send: (event: RelayEvent) => void;
  readonly #pipes: PipePool | undefined;
  readonly #tcp: TcpRelay;
  readonly #udp: UdpRelay;
  readonly #listeners: Readonly<Record<RelayedProtocol, ListenerSet>>;
  readonly #table: ServiceTable;
  /** Messages that the main thread has sent but that have not arrived. */
  #missing = 0;
  readonly #inherited: InheritedSockets;
  readonly #handOverName: string;
  readonly #settings: RelaySettings;
  readonly #fileLimit = openFileLimit();
  #drain: Drain | undefined;
  #handOver: HandOver | undefined;
  #hasBegun = false;
  isOver = false;

  /** @param wake the eventfd that counts messages. */
  constructor(wake: number, settings: RelaySettings, send: (event: RelayEvent) => void) {
    this.#send = send;
    this.#wake = new WakeCounter(wake);
    this.#inherited = new InheritedSockets(settings.inherited);
    this.#handOverName = settings.handOverName;
    const loop = this.#loop;
    loop.add(wake, this, EPOLLIN);
    const warnings = new RateLimitedWarnings((message, values) => send({ type: "warning", message, values }));
    const warn: Warn = (message, values) => warnings.warn(message, values, loop.now);
    const endpointFailed = (service: Service, endpoint: string, reason: string) => {
      const { address, port } = unpackEndpoint(endpoint);
      const values = {
        service: printedNameOf(service.spec.key),
        endpoint: formatSocketAddress(address, port),
        reason,
      };
      warnings.warn("an endpoint failed, and is avoided for a while", values, loop.now, values.endpoint);
    };
    this.#settings = settings;
    const budget = fileBudget(this.#fileLimit, settings, 0);
    const hasRoom = () => this.#openListeners < budget.listeners;
    this.#pipes = settings.mover === "splice" ? new PipePool(PIPE_BYTES, budget.pipes) : undefined;
    this.#tcp = new TcpRelay({
      loop,
      picker: this.#picker,
      transfer: new Transfer(BUFFER_BYTES, this.#pipes),
      endpointFailed,
      mark: settings.mark,
      maxConnections: budget.connections,
    });
    this.#udp = new UdpRelay({
      loop,
      picker: this.#picker,
      endpointFailed,
      warn,
      mark: settings.mark,
      idleMs: settings.udpIdleMs,
      maxFlows: budget.flows,
    });
    this.#listeners = {
      TCP: new TcpListeners(loop, this.#tcp, this.#inherited, hasRoom, warn).set,
      UDP: udpListeners(loop, this.#udp, this.#inherited, hasRoom),
    };
    const setOf = ({ service }: FrontendEntry) => this.#listeners[service.spec.protocol];
    this.#table = new ServiceTable({
      add: (entry) => setOf(entry).add(entry),
      remove: (entry) => setOf(entry).remove(entry),
      settle: () => {
        this.#listeners.TCP.settle();
        this.#listeners.UDP.settle();
      },
    });
  }

  /** True if messages are on their way, which arrive only while this thread waits for the event loop of the runtime. */
  get expectsMessages(): boolean {
    return this.#missing > 0;
  }

  /** Stops waiting for messages. */
  expectNoMessages(): void {
    this.#missing = 0;
  }

  /** Waits for something to do, and does it. */
  turn(): void {
    // A message may have ended the relay.
    if (this.isOver) return;
    this.#loop.turn();
    this.#finishIfIdle();
  }

  /** Carries out a command. @throws KernelError if a shared listener cannot be opened. */
  receive(command: RelayCommand): void {
    this.#missing--;
    switch (command.type) {
      case "start":
        return this.#listen(command.settings.sharedListeners);
      case "retain":
        this.#table.retain(command.keys);
        this.#begin();
        this.#udp.endOrphans();
        return this.#done(command.id);
      case "update":
        this.#table.update(command.services, command.removed);
        this.#udp.endOrphans();
        return this.#done(command.id);
      case "report":
        return this.#send({ type: "report", id: command.id, report: this.#report() });
      case "drain":
        this.#startDrain(command.limitMs, command.isAwaited);
    }
  }

  #listen(requests: readonly SharedListener[]): void {
    const { TCP, UDP } = this.#listeners;
    const listeners = requests.map((request) =>
      this.#listeners[request.protocol].share(request, this.#table)
    );
    const descriptors = { ...TCP.sharedDescriptors(), ...UDP.sharedDescriptors() };
    this.#send({ type: "ready", listeners, descriptors });
  }

  #done(id: number): void {
    const { TCP, UDP } = this.#listeners;
    this.#tcp.maxConnections = fileBudget(this.#fileLimit, this.#settings, this.#openListeners).connections;
    const [tcp, udp] = [TCP.takeChanges(), UDP.takeChanges()];
    const changes = {
      failed: [...tcp.failed, ...udp.failed],
      opened: { ...tcp.opened, ...udp.opened },
      closed: [...tcp.closed, ...udp.closed],
    };
    this.#send({ type: "done", id, changes });
  }

  handleEvents(): void {
    this.#missing += this.#wake.take();
  }

  /** Closes all sockets, also when the thread has failed: other threads of the process go on. */
  [Symbol.dispose](): void {
    this.#handOver?.[Symbol.dispose]();
    this.#closeSockets();
    this.#inherited.closeRest();
    this.#pipes?.[Symbol.dispose]();
    this.#udp[Symbol.dispose]();
    this.#loop[Symbol.dispose]();
  }

  get #openListeners(): number {
    return this.#listeners.TCP.size + this.#listeners.UDP.size;
  }

  get #open(): number {
    return this.#tcp.openConnections + this.#udp.openFlows;
  }

  /** Accepts clients, since all services are known. Those of inherited sockets have waited. */
  #begin(): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    // Reading the services has left garbage. It takes some 40 ms for 10,000 services, while clients still wait.
    collectGarbage();
    this.#listeners.TCP.begin();
    this.#listeners.UDP.begin();
    this.#inherited.closeRest();
  }

  #startDrain(limitMs: number, isAwaited: boolean): void {
    if (limitMs === 0) return this.#finish();
    if (this.#drain !== undefined) return;
    const { TCP, UDP } = this.#listeners;
    const now = performance.now();
    // UDP answers need the listeners.
    const stopAccepting = () => {
      TCP.stop();
      UDP.stop();
      this.#udp.stopAccepting();
    };
    const drain = new Drain({ now, limitMs, isAwaited, stopAccepting, end: () => this.#finish() });
    this.#drain = drain;
    this.#loop.addTimer(drain);
    if (this.#handOverName === "") {
      TCP.closeAll();
      this.#udp.stopAccepting();
      drain.taken();
    } else {
      this.#handOver = HandOver.open({
        loop: this.#loop,
        name: this.#handOverName,
        offer: () => ({ ...TCP.descriptors(), ...UDP.descriptors() }),
        taken: () => {
          TCP.forgetAll();
          UDP.stop();
          this.#udp.stopAccepting();
          drain.taken();
        },
      });
    }
    this.#send({ type: "offered" });
    this.#finishIfIdle();
  }

  #finishIfIdle(): void {
    const { endsWithoutConnections = false } = this.#drain ?? {};
    // A process that is taking the listeners would get a part of them.
    if (endsWithoutConnections && this.#open === 0 && !this.#handOver?.isBusy) this.#finish();
  }

  #finish(): void {
    if (this.isOver) return;
    this.isOver = true;
    const open = this.#open;
    this.#closeSockets();
    this.#send({ type: "drained", open });
  }

  #closeSockets(): void {
    // Clients that wait are left to the next process, if it has the sockets.
    this.#listeners.TCP.forgetAll();
    this.#tcp.resetAll();
    this.#listeners.UDP.closeAll();
  }

  #report(): RelayReport {
    this.#tcp.countBytes();
    return {
      services: [...this.#table.counters()],
      openConnections: this.#tcp.openConnections,
      udpFlows: this.#udp.openFlows,
      avoidedEndpoints: [...this.#picker.avoided(performance.now())],
    };
  }
}
