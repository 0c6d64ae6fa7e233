import { deepEqual, equal, throws } from "node:assert/strict";
import { clusterAccess } from "../../../../core/kube/access/access.ts";
import { AccessError, type ClusterAccess } from "../../../../core/kube/access/cluster_access.ts";

const directory = Deno.makeTempDirSync({ prefix: "access-" });
globalThis.addEventListener("unload", () => Deno.removeSync(directory, { recursive: true }));

function read(kubeconfig: string | object, master = ""): ClusterAccess {
  const path = `${directory}/kubeconfig`;
  Deno.writeTextFileSync(path, typeof kubeconfig === "string" ? kubeconfig : JSON.stringify(kubeconfig));
  return clusterAccess({ kubeconfig: path, master });
}

/** A kubeconfig with one cluster and one user. */
function config(cluster: object, user: object | undefined = undefined): object {
  return {
    apiVersion: "v1",
    kind: "Config",
    "current-context": "here",
    contexts: [{ name: "here", context: { cluster: "c", ...(user && { user: "u" }), namespace: "x" } }],
    clusters: [{ name: "other", cluster: { server: "https://other" } }, { name: "c", cluster }],
    users: user === undefined ? null : [{ name: "u", user }],
  };
}

const server = "https://10.0.0.1:6443";
const base64 = (text: string) => new TextEncoder().encode(text).toBase64();

Deno.test("the current context selects the server, authority and user", () => {
  const access = read(`
apiVersion: v1
kind: Config
current-context: here
preferences: {}
contexts:
- {name: elsewhere, context: {cluster: x, user: z}}
- {name: here, context: {cluster: c, user: u}}
clusters:
- name: c
  cluster: {server: "${server}/prefix", certificate-authority: pki/ca.crt}
users:
- name: u
  user: {client-certificate-data: ${base64("CERT")}, client-key: ../key.pem, token: t}
`);
  equal(access.server.href, `${server}/prefix`);
  deepEqual(access.authority, { file: `${directory}/pki/ca.crt` });
  deepEqual(access.user.certificate, {
    chain: { text: "CERT" },
    key: { file: directory.replace(/[^/]*$/, "key.pem") },
  });
  deepEqual(access.user.token, { text: "t" });
});

Deno.test("inline data wins over a file, and a token file over a token", () => {
  const access = read(config(
    { server, "certificate-authority": "/a", "certificate-authority-data": base64("CA") },
    { token: "t", tokenFile: "token" },
  ));
  deepEqual(access.authority, { text: "CA" });
  deepEqual(access.user.token, { file: `${directory}/token` });
});

Deno.test("an unnamed context is the current one when none is set, and kind may be missing", () => {
  // The kubeconfig of Talos, bootkube and Typhoon.
  const access = read(`
apiVersion: v1
clusters:
- name: local
  cluster: {server: "https://127.0.0.1:16443", certificate-authority: ca.crt}
users:
- name: service-account
  user: {tokenFile: token}
contexts:
- context: {cluster: local, user: service-account}
`);
  equal(access.server.href, "https://127.0.0.1:16443/");
  deepEqual(access.user.token, { file: `${directory}/token` });
  equal(read({ clusters: [{ cluster: { server } }] }).server.href, `${server}/`, "nothing has a name");
  equal(read({ kind: "", users: [{ name: "u" }] }, "10.1.1.1:8080").server.href, "http://10.1.1.1:8080/");
});

Deno.test("tls-server-name, insecure-skip-tls-verify and proxy-url are taken", () => {
  const named = read(config({ server, "tls-server-name": "api.test", "proxy-url": "socks5://p:1080" }));
  deepEqual([named.tlsServerName, named.isInsecure, named.proxyUrl], ["api.test", false, "socks5://p:1080"]);
  const open = read(config({ server: "10.0.0.1:6443", "insecure-skip-tls-verify": true }));
  deepEqual([open.tlsServerName, open.isInsecure, open.server.href], ["", true, `${server}/`]);
});

Deno.test("HTTPS_PROXY and NO_PROXY are read as Go reads them", () => {
  const proxy = (server: string, env: Record<string, string>, cluster = {}) => {
    const path = `${directory}/kubeconfig`;
    Deno.writeTextFileSync(path, JSON.stringify(config({ server, ...cluster })));
    const environment = { env: (name: string) => env[name], serviceAccount: directory };
    return clusterAccess({ kubeconfig: path, master: "" }, environment).proxyUrl;
  };
  const HTTPS_PROXY = "http://proxy:3128";
  const cases: [server: string, noProxy: string, usesProxy: boolean][] = [
    ["https://10.0.0.1:6443", "", true],
    ["https://localhost:6443", "", false],
    ["https://127.0.0.1:6443", "", false],
    ["https://127.1.2.3:6443", "", false],
    ["https://[::1]:6443", "", false],
    ["https://10.0.0.1:6443", "*", false],
    ["https://10.0.0.1:6443", "x, 10.0.0.0/8 ,y", false],
    ["https://11.0.0.1:6443", "10.0.0.0/8", true],
    ["https://[fd00::1]:6443", "fd00::/16", false],
    ["https://10.0.0.1:6443", "10.0.0.1", false],
    ["https://10.0.0.1:6443", "10.0.0.1:6443", false],
    ["https://10.0.0.1:6443", "10.0.0.1:443", true],
    ["https://10.0.0.1", "10.0.0.1:443", false],
    ["https://[fd00::1]:6443", "[fd00::1]:6443", false],
    ["https://[fd00::1]:6443", "fd00::1", false],
    ["https://api.example.com:6443", "example.com", false],
    ["https://example.com:6443", "example.com", false],
    ["https://notexample.com:6443", "example.com", true],
    ["https://api.example.com:6443", ".example.com", false],
    ["https://example.com:6443", ".example.com", true],
    ["https://api.example.com:6443", "*.example.com", false],
    ["https://API.example.com:6443", "EXAMPLE.com:6443", false],
    ["https://api.example.com:6443", "example.com:443", true],
    ["https://api.example.com:6443", "10.0.0.0/8,:6443,", true],
  ];
  for (const [server, NO_PROXY, usesProxy] of cases) {
    equal(
      proxy(server, { HTTPS_PROXY, NO_PROXY }),
      usesProxy ? HTTPS_PROXY : "",
      `${server} with ${NO_PROXY}`,
    );
    equal(proxy(server, { https_proxy: HTTPS_PROXY, no_proxy: NO_PROXY }), usesProxy ? HTTPS_PROXY : "");
  }
  const remote = "https://10.0.0.1:6443";
  equal(proxy(remote, { HTTPS_PROXY: "proxy:3128" }), HTTPS_PROXY, "a proxy without scheme is http");
  equal(proxy(remote, { HTTP_PROXY: HTTPS_PROXY, ALL_PROXY: HTTPS_PROXY }), "", "variables for others");
  equal(proxy("http://10.0.0.1:8080", { HTTP_PROXY: HTTPS_PROXY }), HTTPS_PROXY);
  equal(proxy("http://10.0.0.1:8080", { HTTP_PROXY: HTTPS_PROXY, REQUEST_METHOD: "GET" }), "");
  const own = { "proxy-url": "http://own:1" };
  equal(
    proxy("https://127.0.0.1:6443", { HTTPS_PROXY, NO_PROXY: "*" }, own),
    "http://own:1",
    "proxy-url wins",
  );
});

Deno.test("a kubeconfig is read as YAML 1.1: merge keys, booleans, the last value of a repeated key", () => {
  const access = read(`
current-context: here
contexts: [{name: here, context: {cluster: c, user: u}}]
clusters:
- {name: base, cluster: &base {server: "${server}", insecure-skip-tls-verify: no}}
- name: c
  cluster:
    <<: *base
    certificate-authority: first.crt
    certificate-authority: second.crt
users: [{name: u, user: {token: '016'}}]
---
ignored: [
`);
  equal(access.server.href, `${server}/`);
  deepEqual(access.authority, { file: `${directory}/second.crt` });
  deepEqual(access.user.token, { text: "016" });
});

Deno.test("--master overrides the server", () => {
  equal(read(config({ server }), "http://127.0.0.1:8080").server.href, "http://127.0.0.1:8080/");
  equal(read(config({}), "10.1.1.1:8080").server.href, "http://10.1.1.1:8080/");
  equal(
    read(config({ "certificate-authority": "/ca" }), "10.1.1.1:6443").server.href,
    "https://10.1.1.1:6443/",
  );
  equal(clusterAccess({ kubeconfig: "", master: "10.1.1.1:8080" }).server.href, "http://10.1.1.1:8080/");
});

Deno.test("every kind of user credential is read", () => {
  deepEqual(read(config({ server }, { username: "me", password: "secret" })).user.basic, {
    username: "me",
    password: "secret",
  });
  const exec = {
    apiVersion: "client.authentication.k8s.io/v1",
    command: "./bin/get-token",
    args: ["-x"],
    env: [{ name: "A", value: "b" }],
    installHint: "install it",
    interactiveMode: "IfAvailable",
    provideClusterInfo: true,
  };
  const cluster = {
    server,
    "certificate-authority-data": base64("CA"),
    extensions: [{ name: "client.authentication.k8s.io/exec", extension: { audience: "x" } }],
  };
  deepEqual(read(config(cluster, { exec })).user.exec, {
    apiVersion: "client.authentication.k8s.io/v1",
    command: `${directory}/bin/get-token`,
    args: ["-x"],
    env: { A: "b" },
    installHint: "install it",
    cluster: { server, "certificate-authority-data": base64("CA"), config: { audience: "x" } },
  });
  const found = {
    apiVersion: "client.authentication.k8s.io/v1beta1",
    command: "get-token",
    env: null,
    args: null,
  };
  equal(read(config({ server }, { exec: found })).user.exec?.command, "get-token");
  deepEqual(
    read(config({ server }, { as: "joe", "as-groups": ["a", "b"], "as-user-extra": { "x/y": ["1"] } })).user
      .impersonation,
    [["Impersonate-User", "joe"], ["Impersonate-Group", "a"], ["Impersonate-Group", "b"], [
      "Impersonate-Extra-x%2Fy",
      "1",
    ]],
  );
});

Deno.test("an unusable kubeconfig gives one message that names the file and the field", () => {
  const user = (user: object) => config({ server }, user);
  const cases: [kubeconfig: string | object, message: RegExp][] = [
    ["a: [", /kubeconfig .*\/kubeconfig:1: /],
    ["just text", /kubeconfig .*: not a kubeconfig; it must be a mapping/],
    [{}, /current-context: is not set; kubectl config use-context/],
    [{ "current-context": "x" }, /no context is named "x"/],
    [{ "current-context": 1 }, /current-context: .*Expected/],
    [{ kind: "Pod" }, /kind: /],
    [config({}), /clusters\["c"\]\.cluster\.server: is missing/],
    [
      { ...config({ server }), clusters: [] },
      /contexts\["here"\]\.context\.cluster: no cluster is named "c"/,
    ],
    [{ ...config({ server }, {}), users: [] }, /contexts\["here"\]\.context\.user: no user is named "u"/],
    [config({ server: "ftp://x" }), /cluster\.server: "ftp:\/\/x" is not a URL such as https/],
    [config({ server: 1 }), /clusters\.1\.cluster\.server: .*Expected/],
    [config({ server, "certificate-authority-data": "%" }), /certificate-authority-data: is not base64/],
    [
      config({ server, "insecure-skip-tls-verify": true, "certificate-authority": "/ca" }),
      /has both certificate-authority and insecure-skip-tls-verify/,
    ],
    [config({ server, "proxy-url": "ssh://x" }), /proxy-url: "ssh:\/\/x" must start with/],
    [user({ token: "t", username: "u" }), /users\["u"\]\.user: has both a token and a username/],
    [user({ "client-certificate": "x" }), /users\["u"\]\.user: client-key \(or client-key-data\) is missing/],
    [
      user({ "client-key-data": base64("x") }),
      /client-certificate \(or client-certificate-data\) is missing/,
    ],
    [user({ "auth-provider": { name: "gcp" } }), /auth-provider: is not supported.*use exec/],
    [user({ exec: { apiVersion: "v1", command: "x" } }), /users\.0\.user\.exec\.apiVersion: /],
    [user({ exec: { apiVersion: "client.authentication.k8s.io/v1" } }), /users\.0\.user\.exec\.command: /],
    [
      user({
        exec: { apiVersion: "client.authentication.k8s.io/v1", command: "x", interactiveMode: "Always" },
      }),
      /interactiveMode: Always needs a terminal/,
    ],
  ];
  for (const [kubeconfig, message] of cases) {
    throws(() => read(kubeconfig), (error) => {
      equal(error instanceof AccessError, true, String(error));
      equal(message.test(String(error)), true, `${error} does not match ${message}`);
      return true;
    });
  }
  const misplaced = user({ exec: "my-secret-token" });
  throws(() => read(misplaced), (error) => !String(error).includes("secret"));
  throws(
    () => clusterAccess({ kubeconfig: "/nonexistent", master: "" }),
    /kubeconfig \/nonexistent: No such file/,
  );
});

Deno.test("a pod finds its cluster in its environment", () => {
  const env: Record<string, string> = { KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "443" };
  const surroundings = { env: (name: string) => env[name], serviceAccount: directory };
  const none = { kubeconfig: "", master: "" };
  throws(
    () => clusterAccess(none, surroundings),
    /service account: .*\/token: .*automountServiceAccountToken/,
  );
  Deno.writeTextFileSync(`${directory}/token`, "t");
  const access = clusterAccess(none, surroundings);
  equal(access.server.href, "https://[fd00::1]/");
  deepEqual(access.authority, { file: `${directory}/ca.crt` });
  deepEqual(access.user.token, { file: `${directory}/token` });
  throws(
    () => clusterAccess(none, { ...surroundings, env: () => undefined }),
    /neither --kubeconfig nor --master is given.*--manifests DIR/,
  );
});
