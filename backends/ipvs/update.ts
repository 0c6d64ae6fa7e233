import type { Address } from "../../core/net/address.ts";
import { SERVICE_DEVICE } from "../../core/plan/node_addresses.ts";
import type { Element } from "../nf_tables/elements.ts";
import type { BalancedServer, Compiled } from "./compile.ts";
import { type ServerDifference, serverDifference } from "./servers/diff.ts";
import { guardedFrontend, sharedSets } from "./tables/sets.ts";

/** One service port that changed: what it was and what it is, undefined for nothing. */
export interface CompiledChange {
  readonly old: Compiled | undefined;
  readonly new: Compiled | undefined;
}

/** What a batch of changes adds to what surrounds IPVS in one family, and takes away. */
export interface Difference {
  readonly addresses: Delta<Address>;
  readonly elements: Delta<Element>;
  /** Uses of what is shared that come and go, by name: to be counted once the changes are in force. */
  readonly uses: ReadonlyMap<string, number>;
}

export interface Delta<Thing> {
  readonly added: readonly Thing[];
  readonly removed: readonly Thing[];
}

/** A frontend that moves from one service port to another is one virtual server that changes. */
export function changedServers(changes: Iterable<CompiledChange>): ServerDifference {
  const before: BalancedServer[] = [];
  const after: BalancedServer[] = [];
  for (const { old, new: next } of changes) {
    if (old !== undefined) before.push(...old.servers);
    if (next !== undefined) after.push(...next.servers);
  }
  return serverDifference(before, after);
}

/** @param uses how many service ports use a thing now, by the names of `Difference.uses`. */
export function differenceOf(changes: Iterable<CompiledChange>, uses: (name: string) => number): Difference {
  const addresses = new SharedThings<Address>();
  const sharedElements = new SharedThings<Element>();
  const elements = new OwnElements();
  const take = (compiled: Compiled, change: 1 | -1) => {
    for (const address of compiled.addresses) addresses.use(`${SERVICE_DEVICE} ${address}`, address, change);
    for (const element of compiled.elements) {
      const name = element.set + element.key;
      if (sharedSets.has(element.set)) sharedElements.use(name, element, change);
      else elements.put(name, element, change);
    }
  };
  for (const { old, new: next } of changes) {
    if (old !== undefined) take(old, -1);
    if (next !== undefined) take(next, 1);
  }
  const own = elements.delta();
  const shared = sharedElements.delta(uses);
  return {
    addresses: addresses.delta(uses),
    elements: { added: [...own.added, ...shared.added], removed: [...own.removed, ...shared.removed] },
    uses: new Map([...addresses.changes(), ...sharedElements.changes()]),
  };
}

/** Of the elements that are removed, those that make way for what is added, and those that leave a gap. */
export function replacedOf({ added, removed }: Delta<Element>): { replaced: Element[]; gone: Element[] } {
  const places = new Set(added.map(placeOf));
  const { replaced = [], gone = [] } = Object.groupBy(
    removed,
    (element) => places.has(placeOf(element)) ? "replaced" : "gone",
  );
  return { replaced, gone };
}

/** Where an element cannot be beside another: under its key; a range among those of the same frontend, if they overlap. */
function placeOf(element: Element): string {
  return element.set + (guardedFrontend(element) ?? element.key);
}

/** Things that are there as long as anyone uses them. */
class SharedThings<Thing> {
  readonly #things = new Map<string, { readonly thing: Thing; change: number }>();

  use(name: string, thing: Thing, change: 1 | -1): void {
    const known = this.#things.get(name);
    if (known === undefined) this.#things.set(name, { thing, change });
    else known.change += change;
  }

  delta(uses: (name: string) => number): Delta<Thing> {
    const added: Thing[] = [];
    const removed: Thing[] = [];
    for (const [name, { thing, change }] of this.#things) {
      const now = uses(name);
      if (now === 0 && change > 0) added.push(thing);
      if (now > 0 && now + change === 0) removed.push(thing);
    }
    return { added, removed };
  }

  *changes(): Generator<[name: string, change: number]> {
    for (const [name, { change }] of this.#things) if (change !== 0) yield [name, change];
  }
}

/** Elements that one service port has for itself, or hands over to another. */
class OwnElements {
  readonly #before = new Map<string, Element>();
  readonly #after = new Map<string, Element>();

  put(name: string, element: Element, change: 1 | -1): void {
    (change < 0 ? this.#before : this.#after).set(name, element);
  }

  delta(): Delta<Element> {
    const stays = (name: string) => {
      const [before, after] = [this.#before.get(name), this.#after.get(name)];
      return before?.value === after?.value && before?.comment === after?.comment;
    };
    const changed = (elements: ReadonlyMap<string, Element>) =>
      [...elements].flatMap(([name, element]) => stays(name) ? [] : [element]);
    return { added: changed(this.#after), removed: changed(this.#before) };
  }
}
