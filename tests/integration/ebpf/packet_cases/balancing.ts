import assert from "node:assert/strict";
import type { Balancing } from "../../../../core/objects/objects.ts";
import { planOf, type PlanText } from "../../../backends/plans.ts";
import type { Cases } from "../support/packets/packet_node.ts";

/** Selection of an endpoint for a connection. */
export const balancingCases: Cases = {
  "a client with affinity gets the same endpoint again": async (node) => {
    const endpoints = Array.from({ length: 16 }, (_, index) => `10.1.0.${index + 1}:8080`);
    const destinations = async (from: string) => {
      const found = new Set<string>();
      for (let port = 40000; port < 40020; port++) {
        const { packet } = await node.ingress(
          `IP(src="${from}", dst="10.96.0.10")/TCP(sport=${port}, dport=80)`,
        );
        found.add(destinationOf(packet));
      }
      return found;
    };
    await node.program([planOf({ clusterIP: "10.96.0.10:80", endpoints })], { map: { lastPort: 61999 } });
    assert((await destinations("192.168.8.9")).size > 3);
    await node.program([planOf({ clusterIP: "10.96.0.10:80", endpoints, affinitySeconds: 60 })], {
      map: { lastPort: 61999 },
    });
    assert.equal((await destinations("192.168.8.9")).size, 1);
  },

  "a client with affinity that is forgotten returns to its endpoint, as long as the endpoints are the same":
    async (node) => {
      const endpoints = Array.from({ length: 16 }, (_, index) => `10.1.0.${index + 1}:8080`);
      const chosen = async () => {
        // Forgets all flows and clients.
        await node.program([planOf({ clusterIP: "10.96.0.10:80", endpoints, affinitySeconds: 60 })], {
          map: { lastPort: 61999 },
        });
        const found: string[] = [];
        for (let client = 1; client <= 32; client++) {
          const syn = `IP(src="198.51.100.${client}", dst="10.96.0.10")/TCP(sport=40000, dport=80)`;
          found.push(destinationOf((await node.ingress(syn, { device: "pod0" })).packet));
        }
        return found;
      };
      const first = await chosen();
      assert(new Set(first).size > 8, "clients are spread");
      assert.deepEqual(await chosen(), first);
    },

  "Maglev finds the same endpoint again, and few connections move when one goes": async (node) => {
    const endpoints = [1, 2, 3, 4].map((host) => `10.1.9.${host}:8080`);
    /** Returns the endpoint of each of 100 connections, without any stored flow. */
    const chosen = async (port: number, endpoints: readonly string[], more: Partial<PlanText> = {}) => {
      const balanced = { nodePort: 30080, endpoints, balancing: "maglev", ...more } as const;
      await node.program([planOf({ ...balanced, name: "web" }), planOf({ nodePort: 30081, endpoints })], {
        map: { lastPort: 61999 },
      });
      const found: string[] = [];
      for (let client = 40000; client < 40100; client++) {
        const syn = `IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=${client}, dport=${port})`;
        found.push(destinationOf((await node.ingress(syn)).packet));
      }
      return found;
    };
    const shares = (found: readonly string[]) =>
      Object.values(Object.groupBy(found, (to) => to)).map((of) => of?.length ?? 0);
    const maglev = await chosen(30080, endpoints);
    assert.equal(shares(maglev).length, 4);
    assert(Math.min(...shares(maglev)) > 12, `${shares(maglev)}`);
    assert.deepEqual(await chosen(30080, endpoints), maglev);
    const random = await chosen(30081, endpoints);
    assert(countDifferences(random, await chosen(30081, endpoints)) > 50);

    const fewer = await chosen(30080, endpoints.slice(1));
    const moved = countDifferences(maglev, fewer) - maglev.filter((to) => to === "0a010901").length;
    assert(moved < 15, `${moved} connections moved although their endpoint still exists`);

    // With affinity all connections of a client get one endpoint, on every node.
    const affinity = await chosen(30080, endpoints, { affinitySeconds: 60 });
    assert.equal(shares(affinity).length, 1);
    assert.deepEqual(await chosen(30080, endpoints, { affinitySeconds: 60 }), affinity);
  },

  "established connections keep their endpoint when balancing changes": async (node) => {
    const endpoints = [1, 2, 3, 4].map((host) => `10.1.9.${host}:8080`);
    for (const protocol of ["TCP", "UDP"] as const) {
      const served = (balancing?: Balancing) => [planOf({ protocol, nodePort: 30080, endpoints, balancing })];
      const found = async () => {
        const to: string[] = [];
        for (let port = 40000; port < 40020; port++) {
          const packet = `IP(src="192.168.8.9", dst="192.168.8.1")/${protocol}(sport=${port}, dport=30080)`;
          to.push(destinationOf((await node.ingress(packet)).packet));
        }
        return to;
      };
      await node.program(served(), { map: { lastPort: 61999 } });
      const before = await found();
      await node.reprogram(served("maglev"), { map: { lastPort: 61999 } });
      assert.deepEqual(await found(), before, protocol);
    }
  },

  "affinity lasts for its timeout, and as long as the endpoint exists": async (node) => {
    const plan = (...hosts: readonly number[]) =>
      planOf({
        clusterIP: "10.96.0.10:80",
        endpoints: hosts.map((host) => `10.1.0.${host}:8080`),
        affinitySeconds: 60,
      });
    const map = { firstPort: 1024, lastPort: 29_999 };
    const many = Array.from({ length: 200 }, (_, index) => index + 1);
    await node.program([plan(...many)], { map });
    let port = 40000;
    const next = async () => {
      const packet = `IP(src="192.168.8.9", dst="10.96.0.10")/TCP(sport=${port++}, dport=80)`;
      return destinationOf((await node.ingress(packet)).packet);
    };
    const first = await next();
    await node.age(50);
    assert.equal(await next(), first);
    await node.age(50);
    assert.equal(await next(), first);
    // The endpoint stays while others come and go.
    const host = hostOf(first);
    await node.reprogram([plan(...many.filter((other) => other === host || other % 2 === 0))], { map });
    for (let times = 0; times < 3; times++) assert.equal(await next(), first);
    await node.reprogram([plan(...many.filter((other) => other !== host))], { map });
    const second = await next();
    assert.notEqual(second, first);
    assert.equal(await next(), second);
    const later = new Set<string>();
    for (let times = 0; times < 5; times++) {
      await node.age(61);
      later.add(await next());
    }
    assert(later.size > 1, "affinity ends after its timeout");
    assert.equal((await node.state()).affinity, 1);
  },

  "with Maglev, a client returns to its endpoint also after its affinity has ended": async (node) => {
    const endpoints = Array.from({ length: 16 }, (_, index) => `10.1.0.${index + 1}:8080`);
    const text = { clusterIP: "10.96.0.10:80", endpoints, affinitySeconds: 60, balancing: "maglev" } as const;
    await node.program([planOf(text)], { map: { firstPort: 1024, lastPort: 29_999 } });
    const found = new Set<string>();
    for (let port = 40000; port < 40008; port++) {
      const syn = `IP(src="192.168.8.9", dst="10.96.0.10")/TCP(sport=${port}, dport=80)`;
      found.add(destinationOf((await node.ingress(syn)).packet));
      await node.age(61);
    }
    assert.equal(found.size, 1);
  },

  "a client with affinity is dropped if no endpoint is local": async (node) => {
    const endpoints = ["10.1.0.1:8080"];
    await node.program([planOf({ nodePort: 30080, external: "local", affinitySeconds: 60, endpoints })]);
    await node.drops(`IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=40000, dport=30080)`);
  },

  "affinity does not mistake another endpoint in a reused slot for its own": async (node) => {
    // Lists of equal length, so that a new one reuses the slots of an old one between its neighbours.
    const plan = (name: string, clusterIP: string, first: number) =>
      planOf({
        name,
        clusterIP,
        endpoints: Array.from({ length: 37 }, (_, index) => `10.1.0.${first + index}:8080`),
        affinitySeconds: 60,
      });
    const neighbours = ["10.96.0.9:80", "10.96.0.11:80"].map((clusterIP) => plan(clusterIP, clusterIP, 200));
    const plans = (first: number) => [neighbours[0]!, plan("web", "10.96.0.10:80", first), neighbours[1]!];
    const map = { firstPort: 1024, lastPort: 29_999 };
    const reached = async (port: number) => {
      const packet = `IP(src="192.168.8.9", dst="10.96.0.10")/TCP(sport=${port}, dport=80)`;
      return hostOf(destinationOf((await node.ingress(packet)).packet));
    };
    await node.program(plans(1), { map });
    assert(await reached(40000) <= 37);
    await node.reprogram(plans(50), { map });
    // Wait until the slots of the first list are free.
    await new Promise((resolve) => setTimeout(resolve, 1100));
    await node.reprogram(plans(100), { map });
    assert(await reached(40001) >= 100);
  },
};

function countDifferences(a: readonly string[], b: readonly string[]): number {
  return a.filter((value, index) => value !== b[index]).length;
}

/** Destination of an IPv4 packet behind an Ethernet header, in hexadecimal digits. */
function destinationOf(packet: string): string {
  return packet.slice(60, 68);
}

function hostOf(address: string): number {
  return parseInt(address.slice(6), 16);
}
