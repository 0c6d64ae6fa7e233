import { equal, match, rejects } from "node:assert/strict";
import { createServer } from "node:https";
import "./open_libraries.ts";
import { anonymous, type ClusterAccess } from "../../../../core/kube/access/cluster_access.ts";
import { Credentials } from "../../../../core/kube/access/credentials.ts";
import { API_TIMING } from "../../../../core/kube/api/timing.ts";
import { Transport } from "../../../../core/kube/api/transport.ts";
import { RecordingLog } from "../../observe/log/recording_log.ts";
import { type KeyPair, runOpenssl } from "./test_certificates.ts";

const pem = await runOpenssl(`
  new="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
  here="-addext subjectAltName=IP:127.0.0.1"
  echo subjectAltName=IP:127.0.0.1 >here
  echo subjectAltName=DNS:kubernetes.test >named
  printf 'subjectAltName=DNS:x\n1.2.3.4=critical,DER:0500\n' >critical
  sign() { openssl x509 -req -in $1.csr -CA $2.crt -CAkey $2.key -CAcreateserial -days 2 -out $3.crt $4 $5; }
  request() { openssl req "$@" -nodes -subj /CN=system:node -keyout $name.key -out $name.csr; }

  openssl req -x509 $new -days 2 -subj /CN=authority -keyout ca.key -out ca.crt
  openssl req $new -subj /CN=old -keyout v1ca.key -out v1ca.csr
  openssl x509 -req -in v1ca.csr -signkey v1ca.key -days 2 -out v1ca.crt
  openssl req -x509 $new -days 2 -subj /CN=own $here -keyout own_ca.key -out own_ca.crt
  openssl req -x509 $new -days 2 -subj /CN=own $here -addext basicConstraints=critical,CA:FALSE \
    -keyout own_leaf.key -out own_leaf.crt

  openssl req $new -subj /CN=server -keyout server.key -out server.csr
  sign server ca server -extfile here
  sign server ca named -extfile named
  sign server v1ca of_v1 -extfile here
  openssl ecparam -name secp521r1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out p521.key
  openssl req -x509 -new -key p521.key -days 2 -subj /CN=large $here -addext basicConstraints=critical,CA:FALSE -out p521.crt

  name=ec;      request -newkey ec -pkeyopt ec_paramgen_curve:P-256;  sign ec ca ec -extfile here
  name=rsa;     request -newkey rsa:2048;                             sign rsa ca rsa -extfile here
  name=ed25519; request -newkey ed25519;                              sign ed25519 ca ed25519 -extfile here
  name=short;   request -newkey rsa:1024;                             sign short ca short -extfile here
  sign ec ca v1
  sign ec ca critical -extfile critical
  openssl ec -in ec.key -out sec1.key
  (openssl ecparam -name prime256v1; cat sec1.key) >parameters.key
  openssl rsa -in rsa.key -traditional -out pkcs1.key
  openssl pkey -in ec.key -aes128 -passout pass:secret -out encrypted.key
  (openssl x509 -in ca.crt -text; openssl x509 -in v1ca.crt -text) | sed 's/$/\\r/' >text.crt`);

const server: KeyPair = { certificate: pem("server.crt"), key: pem("server.key") };

interface Case {
  readonly access?: Partial<ClusterAccess>;
  readonly pair?: { readonly certificate: string; readonly key: string };
}

function accessTo(port: number, { access, pair }: Case): ClusterAccess {
  const certificate = pair && { chain: { text: pair.certificate }, key: { text: pair.key } };
  return {
    origin: "a test",
    server: new URL(`https://127.0.0.1:${port}`),
    authority: { text: pem("ca.crt") },
    tlsServerName: "",
    isInsecure: false,
    proxyUrl: "",
    user: { ...anonymous, certificate },
    ...access,
  };
}

async function get(access: ClusterAccess, path = "/version"): Promise<string> {
  using transport = new Transport({
    access,
    credentials: new Credentials(access, new RecordingLog(), API_TIMING),
    userAgent: "proxy/1.2.3",
  });
  const response = await transport.get(path, new AbortController().signal);
  return await response.text();
}

/** A server in this process. */
async function withServer(pair: KeyPair, test: (port: number) => Promise<void>): Promise<void> {
  const address = { hostname: "127.0.0.1", port: 0, onListen() {} };
  const handler = (request: Request) => new Response(`welcome to ${new URL(request.url).pathname}`);
  const running = Deno.serve({ ...address, cert: pair.certificate, key: pair.key }, handler);
  try {
    await test(running.addr.port);
  } finally {
    await running.shutdown();
  }
}

const servers: readonly [what: string, certificate: string, key: string, access: Partial<ClusterAccess>][] = [
  ["is its own authority, with CA:TRUE", "own_ca", "own_ca", { authority: { text: pem("own_ca.crt") } }],
  ["is its own authority, with CA:FALSE", "own_leaf", "own_leaf", {
    authority: { text: pem("own_leaf.crt") },
  }],
  ["is itself the certificate-authority", "server", "server", { authority: { text: pem("server.crt") } }],
  ["has an authority of X.509 version 1", "of_v1", "server", { authority: { text: pem("v1ca.crt") } }],
  ["has a P-521 key", "p521", "p521", { authority: { text: pem("p521.crt") } }],
  ["has an authority in a file with text and CRLF", "of_v1", "server", {
    authority: { text: pem("text.crt") },
  }],
  ["has an authority in a file with another that is garbage", "server", "server", {
    authority: { text: `-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n${pem("ca.crt")}` },
  }],
  ["is for the name in tls-server-name", "named", "server", { tlsServerName: "kubernetes.test" }],
  ["is for an address, with a server by name", "server", "server", { tlsServerName: "127.0.0.1" }],
  ["is not verified, because of insecure-skip-tls-verify", "named", "server", {
    authority: undefined,
    isInsecure: true,
  }],
];

for (const [what, certificate, key, access] of servers) {
  Deno.test(`a server is accepted whose certificate ${what}`, async () => {
    await withServer({ certificate: pem(`${certificate}.crt`), key: pem(`${key}.key`) }, async (port) => {
      equal(await get(accessTo(port, { access })), "welcome to /version");
    });
  });
}

const impostors: readonly [what: string, certificate: string, key: string, access: Partial<ClusterAccess>][] =
  [
    ["is for another name than tls-server-name", "named", "server", { tlsServerName: "other.test" }],
    ["is for an address, not for the name in tls-server-name", "server", "server", {
      tlsServerName: "kubernetes.test",
    }],
    ["is of another authority than the kubeconfig's", "server", "server", {
      authority: { text: pem("own_ca.crt") },
    }],
    ["is of another authority, with tls-server-name", "named", "server", {
      tlsServerName: "kubernetes.test",
      authority: { text: pem("own_ca.crt") },
    }],
    ["is of the same key as the trusted one, but another", "own_ca", "own_ca", {
      authority: { text: pem("own_leaf.crt") },
    }],
    ["was issued by the server certificate that is trusted", "server", "server", {
      authority: { text: pem("named.crt") },
    }],
  ];

for (const [what, certificate, key, access] of impostors) {
  Deno.test(`a server is rejected whose certificate ${what}`, async () => {
    await withServer({ certificate: pem(`${certificate}.crt`), key: pem(`${key}.key`) }, async (port) => {
      await rejects(get(accessTo(port, { access })), /certificate/);
    });
  });
}

const clients: readonly [what: string, certificate: string, key: string][] = [
  ["a PKCS#8 key", pem("ec.crt"), pem("ec.key")],
  ["a SEC1 key", pem("ec.crt"), pem("sec1.key")],
  ["a SEC1 key behind EC PARAMETERS", pem("ec.crt"), pem("parameters.key")],
  ["an RSA key in PKCS#8", pem("rsa.crt"), pem("rsa.key")],
  ["a PKCS#1 key", pem("rsa.crt"), pem("pkcs1.key")],
  ["an Ed25519 key", pem("ed25519.crt"), pem("ed25519.key")],
  ["one file, certificate first", pem("ec.crt") + pem("ec.key"), pem("ec.crt") + pem("ec.key")],
  ["one file, key first", pem("sec1.key") + pem("ec.crt"), pem("sec1.key") + pem("ec.crt")],
  ["CRLF", pem("ec.crt").replaceAll("\n", "\r\n"), pem("sec1.key").replaceAll("\n", "\r\n")],
];

Deno.test("a client certificate is presented, whatever the form of its key", async (t) => {
  const options = { cert: server.certificate, key: server.key, ca: pem("ca.crt") };
  const listening = createServer(
    { ...options, requestCert: true, rejectUnauthorized: true },
    (_, response) => response.end("welcome"),
  );
  await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve));
  const address = listening.address();
  const port = typeof address === "object" ? address?.port ?? 0 : 0;
  for (const [what, certificate, key] of clients) {
    await t.step(what, async () => {
      equal(await get(accessTo(port, { pair: { certificate, key } })), "welcome");
      // OpenSSL makes this connection, because the server certificate is its own trust anchor.
      const access = { authority: { text: pem("server.crt") } };
      equal(await get(accessTo(port, { pair: { certificate, key }, access })), "welcome");
    });
  }
  listening.close();
});

/** A server of OpenSSL that asks for a client certificate and names it in a page. */
async function withOpensslServer(test: (port: number) => Promise<void>): Promise<void> {
  const directory = Deno.makeTempDirSync({ prefix: "s_server-" });
  for (const name of ["server.crt", "server.key", "ca.crt"]) {
    Deno.writeTextFileSync(`${directory}/${name}`, pem(name));
  }
  const args = [
    ..."s_server -www -cert server.crt -key server.key -CAfile ca.crt -Verify 1 -verify_return_error".split(
      " ",
    ),
    ...["-cipher", "DEFAULT@SECLEVEL=0", "-accept", "127.0.0.1:0"],
  ];
  const child = new Deno.Command("openssl", { args, cwd: directory, stdout: "piped", stderr: "null" })
    .spawn();
  try {
    let output = "";
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    while (!/ACCEPT \S+:\d+/.test(output)) output += (await reader.read()).value ?? "";
    const reading = (async () => {
      while (!(await reader.read()).done);
    })();
    await test(Number(/ACCEPT \S+:(\d+)/.exec(output)?.[1]));
    child.kill();
    await reading;
  } finally {
    await child.status;
    Deno.removeSync(directory, { recursive: true });
  }
}

Deno.test("client certificates that rustls rejects and Go takes are presented by OpenSSL", async (t) => {
  await withOpensslServer(async (port) => {
    for (const [what, name, key] of [["X.509 v1", "v1", "ec"], ["RSA 1024", "short", "short"]] as const) {
      await t.step(what, async () => {
        const pair = { certificate: pem(`${name}.crt`), key: pem(`${key}.key`) };
        match(await get(accessTo(port, { pair })), /Client certificate[\s\S]*CN ?= ?system:node/);
      });
    }
  });
});

const garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const badPairs: readonly [what: string, certificate: string, key: string, message: RegExp][] = [
  [
    "of two pairs",
    pem("rsa.crt"),
    pem("ec.key"),
    /client-certificate CERT and client-key KEY: not a valid key pair/,
  ],
  [
    "of two keys of one kind",
    pem("ec.crt"),
    pem("server.key"),
    /KEY: not a valid key pair \(key values mismatch/,
  ],
  ["of garbage in PEM", garbage, pem("ec.key"), /client-certificate CERT and .*: not a valid key pair/],
  ["of garbage", "garbage", pem("ec.key"), /client-certificate CERT: contains no certificate in PEM format/],
  ["with an empty certificate", "", pem("ec.key"), /client-certificate CERT: contains no certificate/],
  ["with an empty key", pem("ec.crt"), "", /client-key KEY: contains no private key in PEM format/],
  ["with an encrypted key", pem("ec.crt"), pem("encrypted.key"), /KEY: not a valid key pair/],
];

for (const [what, certificate, key, message] of badPairs) {
  Deno.test(`a key pair ${what} is one error, the last good pair stays in use, and the next good one is taken`, async () => {
    const directory = Deno.makeTempDirSync({ prefix: "rotated-" });
    const [chainFile, keyFile] = [`${directory}/CERT`, `${directory}/KEY`];
    const write = (pair: KeyPair) => {
      Deno.writeTextFileSync(chainFile, pair.certificate);
      Deno.writeTextFileSync(keyFile, pair.key);
    };
    const user = { ...anonymous, certificate: { chain: { file: chainFile }, key: { file: keyFile } } };
    const log = new RecordingLog();
    const credentials = new Credentials(accessTo(1, { access: { user } }), log, API_TIMING);
    const key_ = async () => (await credentials.current(new AbortController().signal)).tls.pair?.key;
    const logged = () => log.lines.map((line) => line.replaceAll(`${directory}/`, ""));
    write({ certificate, key });
    await rejects(key_(), (error) => message.test(String(error).replaceAll(`${directory}/`, "")));
    write({ certificate: pem("ec.crt"), key: pem("ec.key") });
    equal(await key_(), pem("ec.key"));
    write({ certificate, key });
    equal(await key_(), pem("ec.key"));
    equal(await key_(), pem("ec.key"));
    equal(logged().length, 1);
    match(logged()[0] ?? "", message);
    match(logged()[0] ?? "", /^error: .*; the previous one stays in use$/);
    write({ certificate: pem("rsa.crt"), key: pem("rsa.key") });
    equal(await key_(), pem("rsa.key"));
    Deno.removeSync(directory, { recursive: true });
  });
}

for (const name of ["v1", "critical", "short"]) {
  Deno.test(`the key pair ${name}, which rustls rejects, does not end the process`, async () => {
    const pair = { certificate: pem(`${name}.crt`), key: pem(name === "short" ? "short.key" : "ec.key") };
    await withServer(
      server,
      async (port) => equal(await get(accessTo(port, { pair })), "welcome to /version"),
    );
  });
}

for (const [what, text] of [["empty", ""], ["garbage", "garbage"]] as const) {
  Deno.test(`a certificate-authority file that is ${what} is an error, not a reason to trust others`, async () => {
    const file = Deno.makeTempFileSync();
    Deno.writeTextFileSync(file, text);
    await withServer(server, async (port) => {
      const access = { authority: { file } };
      await rejects(
        get(accessTo(port, { access })),
        /certificate-authority .*: contains no certificate in PEM format/,
      );
    });
    Deno.removeSync(file);
  });
}

Deno.test("the authorities of the system count without certificate-authority, and only then", async () => {
  const file = Deno.makeTempFileSync();
  Deno.writeTextFileSync(file, pem("ca.crt"));
  const script = new URL("./get_once.ts", import.meta.url).pathname;
  await withServer(server, async (port) => {
    const answer = async (authority: string) => {
      // Deno reads its store of authorities once in a process.
      const { stdout } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "--allow-all", "--no-check", "--quiet", script, `https://127.0.0.1:${port}`, authority],
        env: { SSL_CERT_FILE: file, DENO_TLS_CA_STORE: "system" },
      }).output();
      return new TextDecoder().decode(stdout).trim();
    };
    equal(await answer(""), "welcome to /version");
    match(
      await answer(pem("own_ca.crt")),
      /invalid peer certificate: UnknownIssuer.*not signed by the certificate-authority/,
    );
    equal(await answer(pem("ca.crt")), "welcome to /version");
  });
  Deno.removeSync(file);
});
