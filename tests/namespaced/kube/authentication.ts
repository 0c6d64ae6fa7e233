import assert from "node:assert/strict";
import { type Case, service, type Setting } from "./case.ts";
import { Forwarder } from "../../core/kube/connection/forwarder.ts";
import { sliceTo } from "./pods.ts";
import { ProxyProcess } from "./proxy_process.ts";

/** Cases for every way of authentication. */
export const authentication: readonly Case[] = [
  {
    name: "a token file is read again: the old token may be revoked, and a wrong one is told and survived",
    async test(setting) {
      const { plane } = setting;
      const tokenFile = `${plane.directory}/rotated-token`;
      Deno.writeTextFileSync(tokenFile, "first");
      plane.acceptTokens(["first", "second"]);
      await plane.killApiServer();
      await plane.start();
      using forwarder = new Forwarder(plane.port);
      const server = `https://127.0.0.1:${forwarder.port}`;
      await using proxy = new ProxyProcess([
        `--kubeconfig=${plane.kubeconfig({ server, user: { tokenFile } })}`,
      ]);
      await proxy.inForce();
      Deno.writeTextFileSync(tokenFile, "second");
      plane.acceptTokens(["second", "third"]);
      await plane.killApiServer();
      await plane.start();
      await follows(setting, "10.96.2.1");
      assert.doesNotMatch(proxy.log, /credentials/);

      Deno.writeTextFileSync(tokenFile, "unknown");
      forwarder.breakConnections();
      await proxy.logged(/rejected the credentials/);
      const { healthy } = await proxy.sourceIs("lost");
      assert.equal(healthy, true, "the rules are in force all the same");
      Deno.writeTextFileSync(tokenFile, "third\n");
      await follows(setting, "10.96.2.2");
      await proxy.sourceIs("connected");
    },
  },
  {
    name: "in a pod, the service account is found, and its token is read again when the kubelet renews it",
    async test(setting) {
      const { plane } = setting;
      const account = {
        apiVersion: "v1",
        kind: "ServiceAccount",
        metadata: { name: "proxy", namespace: "kube-system" },
      };
      await plane.create(account);
      const asked = await plane.request(
        "POST",
        "/api/v1/namespaces/kube-system/serviceaccounts/proxy/token",
        {
          apiVersion: "authentication.k8s.io/v1",
          kind: "TokenRequest",
          spec: {},
        },
      );
      const { status: { token } }: { status: { token: string } } = JSON.parse(asked);
      const mount = new ServiceAccountMount(`${plane.directory}/service-account`, plane.authority);
      mount.update("outdated");
      await using proxy = new ProxyProcess([], {
        env: { KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT: `${plane.port}` },
        by: ["unshare", "--mount", "sh", "-ec", mount.mounting, mount.directory],
      });
      await proxy.logged(/rejected the credentials/);
      mount.update(token);
      await proxy.inForce();
      await follows(setting, "10.96.2.3");
      await proxy.sourceIs("connected");
    },
  },
  {
    name: "a client certificate says who we are",
    async test(setting) {
      const { plane, client } = setting;
      const user = {
        "client-certificate-data": btoa(client.certificate),
        "client-key-data": btoa(client.key),
      };
      await using _proxy = new ProxyProcess([`--kubeconfig=${plane.kubeconfig({ user })}`]);
      await follows(setting, "10.96.2.4");
    },
  },
  {
    name:
      "OpenSSL connects where rustls does not: by another name, to any server, with the server's certificate trusted",
    async test(setting) {
      const { plane, client } = setting;
      const user = {
        "client-certificate-data": btoa(client.certificate),
        "client-key-data": btoa(client.key),
      };
      const authority = { "certificate-authority-data": btoa(plane.authority) };
      const clusters = [
        { ...authority, "tls-server-name": "kubernetes.default.svc" },
        { "insecure-skip-tls-verify": true },
        { "certificate-authority-data": btoa(plane.serverCertificate) },
      ];
      for (const [index, cluster] of clusters.entries()) {
        await using proxy = new ProxyProcess([`--kubeconfig=${plane.kubeconfig({ user, cluster })}`]);
        await follows(setting, `10.96.2.${20 + index}`);
        await proxy.sourceIs("connected");
      }
    },
  },
  {
    name: "a client certificate whose key is rotated after it does not end the process",
    async test(setting) {
      const { plane, client } = setting;
      const [certificate, key] = [`${plane.directory}/rotated.crt`, `${plane.directory}/rotated.key`];
      Deno.writeTextFileSync(certificate, client.certificate);
      Deno.writeTextFileSync(key, client.key);
      using forwarder = new Forwarder(plane.port);
      const server = `https://127.0.0.1:${forwarder.port}`;
      const user = { "client-certificate": certificate, "client-key": key };
      await using proxy = new ProxyProcess([`--kubeconfig=${plane.kubeconfig({ server, user })}`]);
      await follows(setting, "10.96.2.30");
      Deno.writeTextFileSync(certificate, plane.serverCertificate);
      forwarder.breakConnections();
      await proxy.logged(
        /client-certificate \S+ and client-key \S+: not a valid key pair .*the previous one stays/,
      );
      await follows(setting, "10.96.2.31");
      Deno.writeTextFileSync(certificate, "");
      forwarder.breakConnections();
      await proxy.logged(/contains no certificate in PEM format; the previous one stays in use/);
      await follows(setting, "10.96.2.32");
    },
  },
  {
    name: "a credential plugin is asked, and asked again when its token is refused",
    async test(setting) {
      const { plane } = setting;
      const directory = `${plane.directory}/plugin`;
      Deno.mkdirSync(directory);
      const status = (token: string) =>
        JSON.stringify({
          apiVersion: "client.authentication.k8s.io/v1",
          kind: "ExecCredential",
          status: { token },
        });
      Deno.writeTextFileSync(`${directory}/answer`, status("unknown"));
      const script = `echo "$KUBERNETES_EXEC_INFO" >>"$0/asked"; cat "$0/answer"`;
      const exec = {
        apiVersion: "client.authentication.k8s.io/v1",
        interactiveMode: "Never",
        command: "sh",
        args: ["-ec", script, directory],
      };
      await using proxy = new ProxyProcess([`--kubeconfig=${plane.kubeconfig({ user: { exec } })}`]);
      await proxy.logged(/rejected the credentials/);
      Deno.writeTextFileSync(`${directory}/answer`, status("third"));
      await follows(setting, "10.96.2.5");
      assert.match(Deno.readTextFileSync(`${directory}/asked`), /ExecCredential.*\n.*ExecCredential/);
    },
  },
];

/** Checks that a new service is programmed soon, i.e. that the watch works. */
async function follows({ plane, pods }: Setting, address: string): Promise<void> {
  const name = `at-${address.replaceAll(".", "-")}`;
  await plane.create(service(name, address), sliceTo("pod-a", name));
  await pods.until(address, "pod-a", 20_000);
}

/** Files of a service account in the kubelet's layout: a renewal replaces the link `..data`. */
class ServiceAccountMount {
  #renewals = 0;

  constructor(readonly directory: string, private readonly authority: string) {
    Deno.mkdirSync(directory);
    for (const name of ["token", "ca.crt"]) Deno.symlinkSync(`..data/${name}`, `${directory}/${name}`);
  }

  /** Shell script that mounts the directory $0 at a pod's path of the service account and executes its arguments. */
  readonly mounting = `
    mount -t tmpfs none /run
    mkdir -p /var/run/secrets/kubernetes.io
    ln -s "$0" /var/run/secrets/kubernetes.io/serviceaccount
    exec "$@"`;

  update(token: string): void {
    const version = `..version-${++this.#renewals}`;
    Deno.mkdirSync(`${this.directory}/${version}`);
    Deno.writeTextFileSync(`${this.directory}/${version}/token`, token);
    Deno.writeTextFileSync(`${this.directory}/${version}/ca.crt`, this.authority);
    Deno.symlinkSync(version, `${this.directory}/..new`);
    Deno.renameSync(`${this.directory}/..new`, `${this.directory}/..data`);
  }
}
