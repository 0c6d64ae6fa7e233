import type { BpfMap, MapDefinition } from "../../../ffi/bpf/map.ts";
import type { BpfObject } from "../../../ffi/bpf/object.ts";
import { sameLayout } from "../../../ffi/bpf/btf.ts";
import { KernelError } from "../../../ffi/errors.ts";
import { monotonicMicroseconds } from "../../../ffi/system/process.ts";
import { copyEntries, type DefinedMap, drainQueue, MAP_TYPE } from "../maps/copy_entries.ts";
import { LAYOUT_VERSION, OFFSET, SETTING, type SettingsOffsets } from "../maps/layout.ts";
import { memberOffsets } from "../maps/member_offsets.ts";
import { type Move, moveFlows } from "../maps/move_flows.ts";
import { changeFlags, changePorts } from "../maps/node_settings.ts";
import { halvesOf, type PortRange, readSourcePorts } from "../maps/source_ports.ts";
import { type Generation, PINNED_MAPS, type Pins } from "./pins.ts";

/** Maps that the services need before they are programmed. */
const NEEDED_FIRST: ReadonlySet<string> = new Set(["identity", "owners"]);

/** A flow leaves this map when it becomes assured. It is copied before those, so that no flow is missed on its way. */
const NEW_FLOWS = "conntrack_new";
const FLOWS: ReadonlySet<string> = new Set([NEW_FLOWS, "conntrack", "conntrack_udp"]);

/** A map whose entries are copied. */
interface Copied {
  readonly name: string;
  readonly map: BpfMap;
  readonly from: MapDefinition;
  readonly to: MapDefinition;
  /** The new map exists already: a start was interrupted. What it contains is newer. */
  readonly hasEntries: boolean;
}

/**
 * Carries over what the programs remember (flows, clients, sockets, counters) from the maps of another version or with
 * other capacities. A map whose definition stays the same becomes a map of both. The entries of the others are copied, by
 * the names of their members.
 *
 * No flow is lost meanwhile. The old programs stay attached to the devices before the new ones, and serve their flows
 * until they have none: the flows are copied first without haste, and again, for those that began since, when the old
 * programs leave new flows to the new ones. Then each is moved, with what the old programs have seen of it. Meanwhile each
 * version gives its flows ports from one half of the source ports, because it does not know which ones the other has given
 * since the first copy. Before Linux 6.6 a device has only one program, and flows that begin in the milliseconds between
 * the replacement and the second copy may be lost.
 */
export class CarryOver implements Disposable {
  readonly #pins: Pins;
  readonly #generations: readonly Generation[];
  readonly #decided = new Set<string>();
  readonly #copied: Copied[] = [];
  readonly #owned = new DisposableStack();
  readonly #lost = new Set<string>();
  #lacksPrivilege = false;
  /** Time after the first copy of the flows, of CLOCK_MONOTONIC. */
  #copiedNs = 0n;

  constructor(pins: Pins) {
    this.#pins = pins;
    this.#generations = pins.earlier();
  }

  /** Shares a map, or plans to copy its entries. Called before the map is created. */
  prepare(object: BpfObject, name: string): void {
    if (PINNED_MAPS.get(name) !== "state" || this.#decided.has(name)) return;
    this.#decided.add(name);
    for (const generation of this.#generations) {
      const map = this.#pins.openMapOf(generation, name);
      if (map === undefined) continue;
      this.#owned.use(map);
      return this.#plan(name, map, this.#definitionOf(map), object.definition(name), generation);
    }
  }

  /** Copies what the services need. Called when the new maps exist, before the services are programmed. */
  copyFirst(): void {
    this.#copy(({ name }) => NEEDED_FIRST.has(name), "all");
  }

  /** Reports whether two versions may begin flows at a time, with different maps. */
  get hasTwoVersions(): boolean {
    return this.#copied.length > 0;
  }

  /** The source ports that the new programs may give to flows until all old flows are copied. */
  get sourcePorts(): readonly PortRange[] {
    return this.hasTwoVersions ? halvesOf(readSourcePorts())[1] : readSourcePorts();
  }

  /**
   * Copies everything else. Called before the first program is attached.
   * @param waitForPrograms returns when every run of a program that had begun is over.
   */
  copy(waitForPrograms: () => void): void {
    if (this.hasTwoVersions) {
      const [ports] = halvesOf(readSourcePorts());
      this.#changeSettings((settings, at) => changePorts(settings, ports, at));
      waitForPrograms();
    }
    this.#copy(({ name }) => !NEEDED_FIRST.has(name), "all");
    this.#copiedNs = monotonicMicroseconds() * 1000n;
  }

  /**
   * Copies what has been added since, and moves the flows with what the old programs have seen of them. Called when the
   * new programs begin flows on all devices, and before the old programs are detached from them.
   * @param waitForPrograms returns when every run of a program that had begun is over.
   * @param servedBy the programs that have served the flows since the first copy.
   */
  finish(waitForPrograms: () => void, servedBy: Move["servedBy"]): void {
    if (this.hasTwoVersions) {
      this.#changeSettings((settings, at) =>
        changeFlags(settings, { set: SETTING.LEAVE_NEW_FLOWS }, at.flags)
      );
      waitForPrograms();
    }
    this.#copy(() => true, "missing");
    this.#moveFlows(servedBy);
    for (const { name, map, from } of this.#copied) {
      if (from.type !== MAP_TYPE.QUEUE) continue;
      using target = this.#pins.openMap(name);
      if (target.id !== map.id) drainQueue(map, target);
    }
    this[Symbol.dispose]();
  }

  /** Describes what was lost; no or one text. */
  get warnings(): readonly string[] {
    if (this.#lost.size === 0) return [];
    const advice = this.#lacksPrivilege ? ". Reading the layout of the old maps takes CAP_SYS_ADMIN" : "";
    return [
      `the maps ${
        [...this.#lost].join(", ")
      } of the version before could not be carried over, so connections or ` +
      `clients that they remember begin anew${advice} (docs/ebpf.md#another-version-or-other-capacities)`,
    ];
  }

  [Symbol.dispose](): void {
    this.#owned[Symbol.dispose]();
    this.#copied.length = 0;
  }

  #plan(name: string, map: BpfMap, from: MapDefinition, to: MapDefinition, { layout }: Generation): void {
    const hasEntries = this.#pins.hasMap(name);
    const isSameEntry = hasSameEntries(from, to, layout === LAYOUT_VERSION);
    const isSameMap = from.type === to.type && from.maxEntries === to.maxEntries && from.flags === to.flags;
    if (isSameEntry && isSameMap && !hasEntries) return map.pin(this.#pins.map(name));
    const isReadable = isSameEntry || (from.value !== undefined && to.value !== undefined);
    if (!isReadable || from.type !== to.type || from.type === MAP_TYPE.SK_STORAGE) {
      this.#lost.add(name);
      return;
    }
    this.#copied.push({ name, map, from: isSameEntry ? { ...from, ...typesOf(to) } : from, to, hasEntries });
  }

  #copy(isChosen: (copied: Copied) => boolean, what: "all" | "missing"): void {
    this.#transfer(
      isChosen,
      (from, to, { hasEntries }) => copyEntries(from, to, hasEntries ? "missing" : what),
    );
  }

  #moveFlows(servedBy: Move["servedBy"]): void {
    this.#transfer(({ name }) => FLOWS.has(name), (from, to, { hasEntries }) => {
      // Copies may be older than this start if an earlier one was interrupted.
      moveFlows(from, to, { servedBy, copiedNs: hasEntries ? undefined : this.#copiedNs });
    });
  }

  #transfer(
    isChosen: (copied: Copied) => boolean,
    transfer: (from: DefinedMap, to: DefinedMap, copied: Copied) => void,
  ): void {
    for (const copied of this.#copied.toSorted((a, b) => rankOf(a) - rankOf(b))) {
      if (!isChosen(copied) || copied.from.type === MAP_TYPE.QUEUE) continue;
      const { name, map, from, to } = copied;
      using target = this.#pins.openMap(name);
      if (target.id === map.id) continue;
      try {
        transfer({ map, definition: from }, { map: target, definition: to }, copied);
      } catch (error) {
        if (!(error instanceof KernelError)) throw error;
        this.#lost.add(name);
      }
    }
  }

  /** Changes the settings of all other generations whose layout is known. */
  #changeSettings(change: (settings: BpfMap, at: SettingsOffsets) => void): void {
    for (const generation of this.#generations) {
      using settings = this.#pins.openMapOf(generation, "node_settings");
      if (settings === undefined) continue;
      const at = generation.layout === LAYOUT_VERSION
        ? OFFSET.settings
        : memberOffsets(this.#definitionOf(settings).value, ["flags", "source_ports", "port_count"]);
      if (at !== undefined) change(settings, at);
    }
  }

  /** The definition of an old map, without types if these may not be read. */
  #definitionOf(map: BpfMap): MapDefinition {
    try {
      return map.definition();
    } catch (error) {
      if (!(error instanceof KernelError) || error.errnoName !== "EPERM") throw error;
      this.#lacksPrivilege = true;
      return map.definitionWithoutTypes();
    }
  }
}

/** Maps are copied by increasing ranks. */
function rankOf({ name }: Copied): number {
  return name === NEW_FLOWS ? 0 : 1;
}

/** @param isSameLayout the maps are of the same layout version. */
function hasSameEntries(from: MapDefinition, to: MapDefinition, isSameLayout: boolean): boolean {
  if (from.keySize !== to.keySize || from.valueSize !== to.valueSize) return false;
  if (isSameLayout) return true;
  // libbpf gives the kernel no types of queues. Their entries must change their size to be told apart.
  if (from.type === MAP_TYPE.QUEUE) return true;
  if (from.value === undefined || to.value === undefined || !sameLayout(from.value, to.value)) return false;
  return from.key !== undefined && to.key !== undefined && sameLayout(from.key, to.key);
}

function typesOf({ key, value }: MapDefinition): Pick<MapDefinition, "key" | "value"> {
  return { key, value };
}
