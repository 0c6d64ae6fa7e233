import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { createServer } from "node:https";
import { ApiSource } from "../../../../core/kube/api/api.ts";
import { anonymous, type ClusterAccess } from "../../../../core/kube/access/cluster_access.ts";
import { Credentials } from "../../../../core/kube/access/credentials.ts";
import {
  type EndedRequest,
  type ReadAnswer,
  Transport,
  type TransportOptions,
} from "../../../../core/kube/api/transport.ts";
import { API_TIMING } from "../../../../core/kube/api/timing.ts";
import { ApiServer } from "./api_server.ts";
import { ConnectProxy } from "../connection/connect_proxy.ts";
import { Forwarder } from "../connection/forwarder.ts";
import { slowness } from "../../../lab/pace.ts";
import { rawService, rawSlice } from "../raw_objects.ts";
import { RecordingLog } from "../../observe/log/recording_log.ts";
import { RecordingSink } from "../recording_sink.ts";
import { makeCertificates } from "../connection/test_certificates.ts";
import "../connection/open_libraries.ts";

const byAddress = await makeCertificates("IP:127.0.0.1");
const byName = await makeCertificates("DNS:kubernetes.test");

function accessTo(url: string, more: Partial<ClusterAccess>): ClusterAccess {
  return {
    origin: "a test",
    server: new URL(url),
    authority: { text: byAddress.authority },
    tlsServerName: "",
    isInsecure: false,
    proxyUrl: "",
    user: anonymous,
    ...more,
  };
}

function transportTo(access: ClusterAccess, more: Partial<TransportOptions> = {}): Transport {
  const credentials = new Credentials(access, new RecordingLog(), API_TIMING);
  return new Transport({ access, credentials, userAgent: "proxy/1.2.3", ...more });
}

/** The body of one response. */
async function get(url: string, more: Partial<ClusterAccess> = {}, path = "/version?x=y"): Promise<string> {
  const access = accessTo(url, more);
  using transport = transportTo(access);
  const response = await transport.get(path, new AbortController().signal);
  return await response.text();
}

async function serving(
  pair: { readonly certificate: string; readonly key: string } | undefined,
  handler: (request: Request) => Response,
  test: (url: string) => Promise<void>,
): Promise<void> {
  const address = { hostname: "127.0.0.1", port: 0, onListen() {} };
  const server = pair === undefined
    ? Deno.serve(address, handler)
    : Deno.serve({ ...address, cert: pair.certificate, key: pair.key }, handler);
  try {
    await test(`http${pair === undefined ? "" : "s"}://127.0.0.1:${server.addr.port}`);
  } finally {
    await server.shutdown();
  }
}

Deno.test("a server signed by the kubeconfig's authority is accepted, and the path of its URL is kept", async () => {
  await serving(byAddress.server, (request) => new Response(new URL(request.url).pathname), async (url) => {
    equal(await get(url), "/version");
    equal(await get(`${url}/clusters/one/`), "/clusters/one/version");
  });
});

Deno.test("a certificate of another authority is rejected, and the message names the field to check", async () => {
  await serving(byAddress.server, () => new Response("secret"), async (url) => {
    const other = { authority: { text: byName.authority } };
    await rejects(get(url, other), /invalid peer certificate.*not signed by the certificate-authority/);
  });
});

Deno.test("a certificate for another name is rejected, and the message lists its names", async () => {
  await serving(byName.server, () => new Response("hello"), async (url) => {
    const authority = { text: byName.authority };
    await rejects(
      get(url, { authority }),
      /kubernetes\.test.*use one of the certificate's names as tls-server-name/,
    );
  });
});

Deno.test("the client certificate is presented to a server that asks for one", async () => {
  const { certificate: cert, key } = byAddress.server;
  const options = { cert, key, ca: byAddress.authority, requestCert: true, rejectUnauthorized: true };
  const server = createServer(options, (_, response) => response.end("welcome"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const url = `https://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
  const { client } = byAddress;
  const chain = { text: client.certificate };
  equal(
    await get(url, { user: { ...anonymous, certificate: { chain, key: { text: client.key } } } }),
    "welcome",
  );
  server.close();
});

Deno.test("a replaced authority file is used from the next request on", async () => {
  const file = Deno.makeTempFileSync();
  Deno.writeTextFileSync(file, byName.authority);
  await serving(byAddress.server, () => new Response("hello"), async (url) => {
    const access = accessTo(url, { authority: { file } });
    using transport = transportTo(access);
    const signal = new AbortController().signal;
    await rejects(transport.get("/", signal), /invalid peer certificate/);
    Deno.writeTextFileSync(file, byAddress.authority);
    equal(await (await transport.get("/", signal)).text(), "hello");
  });
  Deno.removeSync(file);
});

Deno.test("requests go through proxy-url", async () => {
  await serving(undefined, (request) => new Response(`proxied ${request.url}`), async (proxyUrl) => {
    equal(await get("http://api.test:8080", { proxyUrl }), "proxied http://api.test:8080/version?x=y");
  });
});

/** Sets environment variables during a test. */
async function withEnvironment(variables: Record<string, string>, test: () => Promise<void>): Promise<void> {
  for (const [name, value] of Object.entries(variables)) Deno.env.set(name, value);
  try {
    await test();
  } finally {
    for (const name of Object.keys(variables)) Deno.env.delete(name);
  }
}

for (const variables of [{}, { NO_PROXY: "10.0.0.0/8" }, { NO_PROXY: "*" }]) {
  Deno.test(`only the access decides about a proxy, whatever NO_PROXY is: ${JSON.stringify(variables)}`, async () => {
    const environment = { HTTPS_PROXY: "http://127.0.0.1:1", HTTP_PROXY: "http://127.0.0.1:1", ...variables };
    await withEnvironment(environment, async () => {
      await serving(byAddress.server, () => new Response("direct"), async (url) => {
        equal(await get(url), "direct");
      });
      await serving(undefined, (request) => new Response(`proxied ${request.url}`), async (proxyUrl) => {
        equal(await get("http://10.0.0.1:8080", { proxyUrl }), "proxied http://10.0.0.1:8080/version?x=y");
      });
    });
  });
}

for (const [kind, client] of [["fetch", {}], ["OpenSSL", { tlsServerName: "kubernetes.test" }]] as const) {
  for (const scheme of ["http", "socks5"] as const) {
    Deno.test(`${kind} reaches the server through a ${scheme} proxy`, async () => {
      const certificates = kind === "fetch" ? byAddress : byName;
      const authority = { text: certificates.authority };
      await serving(certificates.server, () => new Response("hello"), async (url) => {
        using proxy = new ConnectProxy(scheme);
        const proxyUrl = `${scheme}://me:secret@127.0.0.1:${proxy.port}`;
        equal(await get(url, { proxyUrl, authority, ...client }), "hello");
        deepEqual(proxy.targets, [`${new URL(url).host} for me:secret`]);
      });
    });
  }
}

Deno.test("a key that does not match is reported with its origin", async () => {
  const chain = { text: byAddress.client.certificate };
  const user = { ...anonymous, certificate: { chain, key: { text: "no key" } } };
  await rejects(
    get("https://127.0.0.1:1", { user }),
    /client-key-data: contains no private key/,
  );
});

Deno.test("all watches over TLS share one HTTP/2 connection, and a new one when it goes silent", async () => {
  await using server = new ApiServer({ cert: byAddress.server.certificate, key: byAddress.server.key });
  server.put(rawService("web"), rawSlice("web-1", "web", ["10.0.0.1"]));
  const sink = new RecordingSink();
  const stop = new AbortController();
  const source = new ApiSource({
    access: accessTo(server.url, {}),
    nodeName: "n1",
    watchServiceCidrs: true,
    userAgent: "proxy/1.2.3",
    log: new RecordingLog(),
    timing: {
      answerMs: 1000,
      maxAnswerMs: 1000,
      listSilenceMs: 1000,
      watchSilenceMs: 300,
      quietConnectionMs: 60_000,
      checkAnswerMs: 60_000,
      minWatchMs: 300_000,
      maxWatchMs: 300_000,
      firstRetryMs: 5,
      maxRetryMs: 50,
      fileMs: 1000,
      pluginMs: 1000,
      unavailableRetryMs: 100,
    },
  });
  const running = source.run(sink, stop.signal);
  await sink.until(() => sink.isSynced && server.watches === 4, "watching");
  const [first, ...others] = server.clientPorts;
  deepEqual(others, [first, first, first]);
  server.muteWatches();
  server.put(rawService("api"));
  await sink.until(() => sink.objects.has("Service default/api"), "heard again");
  await sink.until(() => server.requests.length === 12, "all again, with a check of the version each");
  equal(server.clientPorts.slice(4).some((port) => port === first), false);
  stop.abort();
  await running;
});

Deno.test("a probe tells a dead connection from a quiet one, and the dead one is replaced", async () => {
  await using server = new ApiServer({ cert: byAddress.server.certificate, key: byAddress.server.key });
  server.behaviour.bookmarkInterval = 60_000;
  server.put(rawService("web"));
  using forwarder = new Forwarder(server.port);
  const log = new RecordingLog();
  const sink = new RecordingSink();
  const stop = new AbortController();
  const source = new ApiSource({
    access: accessTo(`https://127.0.0.1:${forwarder.port}`, {}),
    nodeName: "n1",
    watchServiceCidrs: true,
    userAgent: "proxy/1.2.3",
    log,
    timing: { ...API_TIMING, quietConnectionMs: 100, checkAnswerMs: 1000 * slowness },
  });
  const running = source.run(sink, stop.signal);
  await sink.until(() => sink.isSynced && server.watches === 4, "watching");
  await sink.until(() => server.requestsFor("version").length === 3, "asked three times");
  deepEqual(new Set(server.clientPorts).size, 1, "a quiet connection is kept");

  forwarder.blackhole();
  server.put(rawService("api"));
  await sink.until(() => sink.objects.has("Service default/api"), "missed event");
  equal(new Set(server.clientPorts).size, 2);
  equal(log.matching(/does not respond/).length, 1);
  equal(server.requestsFor("services").at(-1)?.query.has("sendInitialEvents"), false, "resumed, not listed");
  stop.abort();
  await running;
});

Deno.test("every request is reported when it ends: its answer, its time and its size", async () => {
  const ended: EndedRequest[] = [];
  const read: ReadAnswer[] = [];
  const observer = {
    requestEnded: (request: EndedRequest) => ended.push(request),
    answerRead: (answer: ReadAnswer) => read.push(answer),
  };
  const { signal } = new AbortController();
  let host = "";
  await serving(
    undefined,
    (request) => new Response("", { status: request.method === "POST" ? 201 : 404 }),
    async (url) => {
      host = new URL(url).host;
      using transport = transportTo(accessTo(url, {}), { observer });
      for (const path of ["/a", "/a?watch=true&b=c"]) {
        await (await transport.get(path, signal)).body
          ?.cancel();
      }
      await (await transport.post("/a", '"ü"', signal)).body?.cancel();
      transport.answerRead("GET", 7);
    },
  );
  using unreachable = transportTo(accessTo(`http://${host}`, {}), { observer });
  await rejects(unreachable.get("/a", signal));
  deepEqual(ended.map(({ method, status, bytes }) => [method, status, bytes]), [
    ["GET", 404, 0],
    ["GET", 404, 0],
    ["POST", 201, 4],
    ["GET", undefined, 0],
  ]);
  deepEqual(read, [{ method: "GET", host, bytes: 7 }]);
  ok(ended.every(({ seconds }) => seconds > 0));
  ok(ended.every((request) => request.host === host));
});
