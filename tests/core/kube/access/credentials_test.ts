import { deepEqual, equal, rejects } from "node:assert/strict";
import {
  anonymous,
  type ClusterAccess,
  type ExecPlugin,
} from "../../../../core/kube/access/cluster_access.ts";
import { Credentials, type CredentialTiming } from "../../../../core/kube/access/credentials.ts";
import { API_TIMING } from "../../../../core/kube/api/timing.ts";
import { RecordingLog } from "../../observe/log/recording_log.ts";
import { makeCertificates } from "../connection/test_certificates.ts";
import { ExecCredentials } from "../../../../core/kube/access/exec_credential.ts";
import "../connection/open_libraries.ts";

const apiVersion = "client.authentication.k8s.io/v1";

const unaborted = new AbortController().signal;

function credentialsOf(
  access: ClusterAccess,
  log = new RecordingLog(),
  timing: CredentialTiming = API_TIMING,
): Credentials {
  return new Credentials(access, log, timing);
}

function pluginCredentials(plugin: ExecPlugin, timeoutMs = 60_000, now = Date.now): ExecCredentials {
  return new ExecCredentials(plugin, new RecordingLog(), timeoutMs, now);
}

/** A plugin that counts its runs in `runs` and then runs `script`. */
async function withPlugin(script: string, test: (plugin: ExecPlugin, runs: () => number) => Promise<void>) {
  const directory = Deno.makeTempDirSync({ prefix: "plugin-" });
  try {
    const command = `${directory}/plugin`;
    Deno.writeTextFileSync(command, `#!/bin/sh\ncd ${directory}\necho >>runs\n${script}\n`, { mode: 0o755 });
    const plugin = {
      apiVersion,
      command,
      args: ["-a"],
      env: { WHO: "me" },
      installHint: "get it",
      cluster: undefined,
    };
    await test(plugin, () => Deno.readTextFileSync(`${directory}/runs`).length);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

const answer = (status: object) =>
  `printf %s '${JSON.stringify({ apiVersion, kind: "ExecCredential", status })}'`;

function accessWith(user: Partial<ClusterAccess["user"]>): ClusterAccess {
  return {
    origin: "a test",
    server: new URL("https://x"),
    authority: undefined,
    tlsServerName: "",
    isInsecure: false,
    proxyUrl: "",
    user: { ...anonymous, ...user },
  };
}

Deno.test("a plugin receives the cluster, and its token is kept until it expires or is rejected", async () => {
  const script = `
    [ "$1" = -a ] && [ "$WHO" = me ] || exit 3
    echo "$KUBERNETES_EXEC_INFO" >info
    ${answer({ token: "t", expirationTimestamp: "2030-01-01T00:00:00Z" })}`;
  await withPlugin(script, async (plugin, runs) => {
    let now = Date.parse("2029-12-31T23:59:00Z");
    const credentials = pluginCredentials({ ...plugin, cluster: { server: "https://x" } }, 60_000, () => now);
    deepEqual(
      (await Promise.all([credentials.get(unaborted), credentials.get(unaborted)])).map(({ token }) => token),
      [
        "t",
        "t",
      ],
    );
    equal(runs(), 1);
    deepEqual(JSON.parse(Deno.readTextFileSync(plugin.command.replace(/plugin$/, "info"))), {
      apiVersion,
      kind: "ExecCredential",
      spec: { interactive: false, cluster: { server: "https://x" } },
    });
    now += 61_000;
    await credentials.get(unaborted);
    equal(runs(), 2);
    now -= 61_000;
    await credentials.get(unaborted);
    credentials.forget();
    await credentials.get(unaborted);
    equal(runs(), 3);
  });
});

Deno.test("a plugin without expiry runs once, and again after 401", async () => {
  const { client } = await makeCertificates("IP:127.0.0.1");
  const status = { clientCertificateData: client.certificate, clientKeyData: client.key };
  await withPlugin(answer(status), async (plugin, runs) => {
    const credentials = credentialsOf(accessWith({ exec: plugin }));
    const { tls } = await credentials.current(unaborted);
    deepEqual(tls.pair, { chain: [client.certificate], key: client.key, isForRustls: true });
    await credentials.current(unaborted);
    equal(runs(), 1);
    credentials.rejected();
    await credentials.current(unaborted);
    equal(runs(), 2);
  });
});

Deno.test("a failure of a plugin is one line, and the next call retries", async () => {
  const cases: [script: string, message: RegExp][] = [
    ["echo no login >&2; exit 7", /credential plugin .*\/plugin: exit code 7: no login/],
    ["echo hello", /its output is not JSON/],
    ["echo '{}'", /apiVersion: /],
    [answer({}), /neither a token nor a certificate/],
    [answer({ clientCertificateData: "x" }), /certificate without key/],
    [answer({ token: "t", expirationTimestamp: "soon" }), /status\.expirationTimestamp: is not a time/],
    [
      answer({ token: "t" }).replace("/v1", "/v1beta1"),
      /its output has apiVersion .*v1beta1, but the kubeconfig says .*v1$/,
    ],
  ];
  for (const [script, message] of cases) {
    await withPlugin(script, async (plugin, runs) => {
      const credentials = pluginCredentials(plugin);
      await rejects(credentials.get(unaborted), message);
      await rejects(credentials.get(unaborted), message);
      equal(runs(), 2);
    });
  }
  const missing = {
    apiVersion,
    command: "/nonexistent",
    args: [],
    env: {},
    installHint: "get it",
    cluster: undefined,
  };
  await rejects(pluginCredentials(missing).get(unaborted), /\/nonexistent: program not found\. get it/);
});

Deno.test("secrets in files are read for each request, and an unreadable file leaves the last ones in use", async () => {
  const file = Deno.makeTempFileSync();
  Deno.writeTextFileSync(file, "one\n");
  const log = new RecordingLog();
  const user = { token: { file }, impersonation: [["Impersonate-User", "joe"]] as const };
  const credentials = credentialsOf(accessWith(user), log);
  const headers = async () => (await credentials.current(unaborted)).headers;
  deepEqual(await headers(), [["Impersonate-User", "joe"], ["Authorization", "Bearer one"]]);
  Deno.writeTextFileSync(file, "two");
  deepEqual((await headers())[1], ["Authorization", "Bearer two"]);
  Deno.writeTextFileSync(file, "\n");
  deepEqual((await headers())[1], ["Authorization", "Bearer two"]);
  Deno.removeSync(file);
  deepEqual((await headers())[1], ["Authorization", "Bearer two"]);
  await headers();
  deepEqual(log.lines.map((line) => line.replaceAll(file, "FILE")), [
    "error: token FILE: is empty; the previous one stays in use",
    "error: token FILE: No such file or directory (os error 2): readfile 'FILE'; the previous one stays in use",
  ]);
  await rejects(
    credentialsOf(accessWith(user)).current(unaborted),
    new RegExp(`token ${file}: No such file`),
  );
});

const withoutLimits = { sanitizeOps: false, sanitizeResources: false };

Deno.test(
  "a token file that cannot be read to its end is an error after a while",
  withoutLimits,
  async () => {
    const directory = Deno.makeTempDirSync({ prefix: "dead-" });
    const file = `${directory}/token`;
    // Nobody writes to it, as on a dead file system.
    await new Deno.Command("mkfifo", { args: [file] }).output();
    const log = new RecordingLog();
    const credentials = credentialsOf(accessWith({ token: { file } }), log, { fileMs: 50, pluginMs: 50 });
    for (let attempt = 0; attempt < 3; attempt++) {
      await rejects(credentials.current(unaborted), new RegExp(`token ${file}: no result within 0.05 s`));
    }
    const stop = new AbortController();
    const waiting = credentialsOf(accessWith({ token: { file } }), log).current(stop.signal);
    stop.abort(new Error("enough"));
    await rejects(waiting, /enough/);
    // The file system is back: a writer releases both reads, one of each Credentials.
    await Deno.writeTextFile(file, "late");
    Deno.removeSync(file);
    Deno.writeTextFileSync(file, "good");
    await new Promise((resolve) => setTimeout(resolve, 50));
    deepEqual((await credentials.current(unaborted)).headers, [["Authorization", "Bearer good"]]);
    Deno.removeSync(directory, { recursive: true });
  },
);

for (
  const [what, script] of [["itself", "exec sleep 60"], [
    "a program that it started",
    "sleep 60 & wait",
  ]] as const
) {
  Deno.test(`a plugin that hangs is killed, ${what} too, and the next call runs it again`, async () => {
    await withPlugin(`echo $$ >pid\n${script}`, async (plugin, runs) => {
      using credentials = pluginCredentials(plugin, 1000);
      for (let attempt = 1; attempt <= 2; attempt++) {
        await rejects(credentials.get(unaborted), /credential plugin .*: no result within 1 s/);
        equal(runs(), attempt);
      }
      const group = Deno.readTextFileSync(plugin.command.replace(/plugin$/, "pid")).trim();
      const alive = async () => {
        const { stdout } = await new Deno.Command("ps", { args: ["-o", "stat=", "-g", group] }).output();
        return new TextDecoder().decode(stdout).split("\n").filter((state) => /^[^Z]/.test(state));
      };
      const deadline = performance.now() + 20_000;
      while ((await alive()).length > 0 && performance.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      deepEqual(await alive(), []);
    });
  });
}

Deno.test("an abort ends the wait for a plugin, and disposal the plugin", async () => {
  await withPlugin("exec sleep 60", async (plugin) => {
    const credentials = pluginCredentials(plugin);
    const stop = new AbortController();
    const waits = [credentials.get(stop.signal), credentials.get(unaborted)];
    setTimeout(() => stop.abort(new Error("enough")), 50);
    await rejects(waits[0] ?? Promise.resolve(), /enough/);
    credentials[Symbol.dispose]();
    await rejects(waits[1] ?? Promise.resolve(), /credential plugin/);
    // Its exit is noticed a moment later.
    await new Promise((resolve) => setTimeout(resolve, 200));
  });
});

Deno.test("a plugin with a bad key pair is one error; the last good pair stays in use and the plugin runs again", async () => {
  const [one, two] = [await makeCertificates("IP:127.0.0.1"), await makeCertificates("IP:127.0.0.1")];
  const status = (pair: { certificate: string; key: string }) =>
    answer({
      clientCertificateData: pair.certificate,
      clientKeyData: pair.key,
      expirationTimestamp: "2020-01-01T00:00:00Z",
    }).replace(/^printf %s '|'$/g, "");
  await withPlugin("cat answer", async (plugin) => {
    const file = plugin.command.replace(/plugin$/, "answer");
    const log = new RecordingLog();
    const credentials = credentialsOf(accessWith({ exec: plugin }), log);
    const key = async () => (await credentials.current(unaborted)).tls.pair?.key;
    Deno.writeTextFileSync(file, status({ certificate: one.client.certificate, key: two.client.key }));
    await rejects(key(), /credential plugin .*\/plugin: certificate and key: not a valid key pair/);
    Deno.writeTextFileSync(file, status(one.client));
    equal(await key(), one.client.key);
    Deno.writeTextFileSync(file, status({ certificate: one.client.certificate, key: two.client.key }));
    equal(await key(), one.client.key);
    equal(log.matching(/not a valid key pair .*the previous one stays in use/).length, 1);
    Deno.writeTextFileSync(file, status(two.client));
    equal(await key(), two.client.key);
  });
});

Deno.test("username and password are sent as Basic", async () => {
  const credentials = credentialsOf(accessWith({ basic: { username: "jö", password: "p:w" } }));
  deepEqual((await credentials.current(unaborted)).headers, [["Authorization", "Basic asO2OnA6dw=="]]);
});
