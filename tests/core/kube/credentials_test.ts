import { deepEqual, equal, rejects } from "node:assert/strict";
import { anonymous, type ClusterAccess, type ExecPlugin } from "../../../core/kube/access/cluster_access.ts";
import { Credentials } from "../../../core/kube/access/credentials.ts";
import { ExecCredentials } from "../../../core/kube/access/exec_credential.ts";

const apiVersion = "client.authentication.k8s.io/v1";

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

const answer = (status: object) => `echo '${JSON.stringify({ apiVersion, kind: "ExecCredential", status })}'`;

function accessWith(user: Partial<ClusterAccess["user"]>): ClusterAccess {
  return {
    origin: "a test",
    server: new URL("https://x"),
    authority: undefined,
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
    const credentials = new ExecCredentials({ ...plugin, cluster: { server: "https://x" } }, () => now);
    deepEqual((await Promise.all([credentials.get(), credentials.get()])).map(({ token }) => token), [
      "t",
      "t",
    ]);
    equal(runs(), 1);
    deepEqual(JSON.parse(Deno.readTextFileSync(plugin.command.replace(/plugin$/, "info"))), {
      apiVersion,
      kind: "ExecCredential",
      spec: { interactive: false, cluster: { server: "https://x" } },
    });
    now += 61_000;
    await credentials.get();
    equal(runs(), 2);
    now -= 61_000;
    await credentials.get();
    credentials.forget();
    await credentials.get();
    equal(runs(), 3);
  });
});

Deno.test("a plugin without expiry runs once, and again after 401", async () => {
  const status = { clientCertificateData: "CERT", clientKeyData: "KEY" };
  await withPlugin(answer(status), async (plugin, runs) => {
    const credentials = new Credentials(accessWith({ exec: plugin }));
    deepEqual((await credentials.current()).tls, { authority: "", certificate: "CERT", key: "KEY" });
    await credentials.current();
    equal(runs(), 1);
    credentials.rejected();
    await credentials.current();
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
      const credentials = new ExecCredentials(plugin);
      await rejects(credentials.get(), message);
      await rejects(credentials.get(), message);
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
  await rejects(new ExecCredentials(missing).get(), /\/nonexistent: program not found\. get it/);
});

Deno.test("secrets in files are read for each request", async () => {
  const file = Deno.makeTempFileSync();
  Deno.writeTextFileSync(file, "one\n");
  const credentials = new Credentials(accessWith({
    token: { file },
    certificate: { chain: { file }, key: { text: "KEY" } },
    impersonation: [["Impersonate-User", "joe"]],
  }));
  deepEqual(await credentials.current(), {
    headers: [["Impersonate-User", "joe"], ["Authorization", "Bearer one"]],
    tls: { authority: "", certificate: "one\n", key: "KEY" },
  });
  Deno.writeTextFileSync(file, "two");
  deepEqual((await credentials.current()).headers[1], ["Authorization", "Bearer two"]);
  Deno.removeSync(file);
  await rejects(credentials.current(), new RegExp(`token ${file}: No such file`));
});

Deno.test("username and password are sent as Basic", async () => {
  const credentials = new Credentials(accessWith({ basic: { username: "jö", password: "p:w" } }));
  deepEqual((await credentials.current()).headers, [["Authorization", "Basic asO2OnA6dw=="]]);
});
