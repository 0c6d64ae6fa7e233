import assert from "node:assert/strict";
import type { PlanKey } from "../../../core/plan/plan.ts";
import {
  address,
  frontend,
  packed,
  relayedService,
} from "../../backends/userspace/relay/support/services.ts";
import { keepsLibraries, RelayLab } from "../../integration/userspace/support/relay_lab.ts";

/** Run by relay_test.ts in its own network namespace. */

/** HAProxy as an endpoint that answers with the client and the destination that the PROXY header told it. */
const CONFIGURATION = `
global
  maxconn 100
defaults
  mode http
  timeout client 10s
frontend endpoint
  bind 10.1.0.1:8080 accept-proxy
  bind [fd00:1::1]:8080 accept-proxy
  http-request return status 200 content-type text/plain lf-string "%[src]:%[src_port] %[dst]:%[dst_port]"
`;

class HAProxy implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #configuration: string;

  static async start(): Promise<HAProxy> {
    const configuration = await Deno.makeTempFile();
    await Deno.writeTextFile(configuration, CONFIGURATION);
    const haproxy = new HAProxy(configuration);
    while (!await canConnect()) await new Promise((resolve) => setTimeout(resolve, 20));
    return haproxy;
  }

  private constructor(configuration: string) {
    this.#configuration = configuration;
    this.#process = new Deno.Command("haproxy", { args: ["-q", "-f", configuration] }).spawn();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.status;
    await Deno.remove(this.#configuration);
  }
}

async function canConnect(): Promise<boolean> {
  try {
    (await Deno.connect({ hostname: "10.1.0.1", port: 8080 })).close();
    return true;
  } catch {
    return false;
  }
}

/** The body of the answer to an HTTP request, and the address of the client. */
async function ask(
  hostname: string,
  port = 80,
): Promise<{ readonly body: string; readonly client: Deno.NetAddr }> {
  using client = await Deno.connect({ hostname, port });
  await client.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n"));
  const answer = await new Response(client.readable).text();
  return { body: answer.slice(answer.indexOf("\r\n\r\n") + 4), client: client.localAddr };
}

Deno.test(
  "HAProxy as an endpoint learns the client's address and the service's",
  keepsLibraries,
  async () => {
    await using lab = await RelayLab.start();
    await using _haproxy = await HAProxy.start();
    await lab.replace(
      relayedService({ proxyProtocol: true }),
      relayedService({
        key: "default/web/TCP/IPv6" as PlanKey,
        family: "IPv6",
        frontends: [frontend({ address: address("fd00:96::10") })],
        cluster: packed("fd00:1::1:8080"),
        proxyProtocol: true,
      }),
    );
    const four = await ask("10.96.0.10");
    assert.equal(four.body, `192.0.2.1:${four.client.port} 10.96.0.10:80`);
    const six = await ask("fd00:96::10");
    assert.equal(six.body, `2001:db8::1:${six.client.port} fd00:96::10:80`);
  },
);

Deno.test(
  "a node port with a listener of its own tells the address that the client used",
  keepsLibraries,
  async () => {
    await using lab = await RelayLab.start();
    await using _haproxy = await HAProxy.start();
    const listen = { address: address("0.0.0.0"), port: 30080 };
    await lab.replace(relayedService({
      frontends: [frontend({ kind: "NodePort", address: undefined, port: 30080, listen })],
      proxyProtocol: true,
    }));
    const { body, client } = await ask("192.0.2.1", 30080);
    assert.equal(body, `${client.hostname}:${client.port} 192.0.2.1:30080`);
  },
);
