import { run } from "../../support/network_namespace.ts";
import { proxyBinary } from "../../../lab/proxy.ts";
import type { Distribution } from "../distributions/distribution.ts";

const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount";

/** Files of a node, and the environment of a container on it, at the paths that a distribution uses. */
export class NodeFiles {
  private constructor(readonly root: string, readonly environment: Readonly<Record<string, string>>) {}

  /** Makes the root file system of `distribution` in a directory. No API server answers at its address. */
  static async make(directory: string, distribution: Distribution): Promise<NodeFiles> {
    const inCluster = { KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT: "6443" };
    const files = new NodeFiles(
      `${directory}/root`,
      distribution.kubeconfig === "in cluster" ? inCluster : {},
    );
    const { certificate, key } = await makeCertificate(directory);
    files.#write(`${serviceAccount}/ca.crt`, certificate);
    files.#write(`${serviceAccount}/token`, "a-token");
    files.#write("/etc/kubernetes/pki/ca.crt", certificate);
    files.#write("/etc/kubernetes/pki/proxy.crt", certificate);
    files.#write("/etc/kubernetes/pki/proxy.key", key);
    const { args, config } = distribution;
    if (config !== undefined) files.#write(config.path, config.text);
    for (const line of [...args, ...config?.text.split("\n") ?? []]) {
      const path = /kubeconfig[=:] ?([^\s,}]+)/.exec(line)?.[1];
      if (path !== undefined) files.#write(path, kubeconfigs[distribution.kubeconfig]);
    }
    return files;
  }

  /** Command that runs its arguments with this root file system; they begin with `/proxy` or `/kube-proxy`. */
  wrapper(kubeProxy = ""): readonly string[] {
    const variables = Object.entries(this.environment).map(([name, value]) => `${name}=${value}`);
    return [
      "unshare",
      "--mount",
      "--propagation=private",
      "bash",
      "-euc",
      `root=$1 proxy=$2 kube_proxy=$3
       shift 3
       for directory in usr lib lib64 proc sys dev; do
         [ ! -e /$directory ] || { mkdir -p $root/$directory && mount --rbind /$directory $root/$directory; }
       done
       touch $root/proxy $root/kube-proxy
       mount --bind "$proxy" $root/proxy
       [ ! "$kube_proxy" ] || mount --bind "$kube_proxy" $root/kube-proxy
       exec env -i "PATH=$PATH" "$@"`,
      "_",
      this.root,
      proxyBinary,
      kubeProxy,
      ...variables,
      "chroot",
      this.root,
    ];
  }

  #write(path: string, text: string): void {
    const file = this.root + path;
    Deno.mkdirSync(file.slice(0, file.lastIndexOf("/")), { recursive: true });
    Deno.writeTextFileSync(file, text);
  }
}

async function makeCertificate(directory: string): Promise<{ certificate: string; key: string }> {
  const [certificate, key] = [`${directory}/ca.crt`, `${directory}/ca.key`];
  await run(
    "openssl",
    ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=kubernetes".split(" "),
    "-keyout",
    key,
    "-out",
    certificate,
  );
  return { certificate: await Deno.readTextFile(certificate), key: await Deno.readTextFile(key) };
}

const cluster = (ca: string) => `{ certificate-authority: ${ca}, server: "https://127.0.0.1:6443" }`;

const kubeconfigs: Readonly<Record<Distribution["kubeconfig"], string>> = {
  "in cluster": "",
  "service account": `apiVersion: v1
kind: Config
clusters: [{ name: default, cluster: ${cluster(`${serviceAccount}/ca.crt`)} }]
contexts: [{ name: default, context: { cluster: default, namespace: default, user: default } }]
current-context: default
users: [{ name: default, user: { tokenFile: ${serviceAccount}/token } }]
`,
  "client certificate": `apiVersion: v1
kind: Config
clusters: [{ name: local, cluster: ${cluster("/etc/kubernetes/pki/ca.crt")} }]
contexts: [{ name: Default, context: { cluster: local, namespace: default, user: user } }]
current-context: Default
preferences: {}
users:
- name: user
  user: { client-certificate: /etc/kubernetes/pki/proxy.crt, client-key: /etc/kubernetes/pki/proxy.key }
`,
  // Neither a kind nor a current context, and a context without a name.
  "no current context": `apiVersion: v1
clusters: [{ name: local, cluster: ${cluster(`${serviceAccount}/ca.crt`)} }]
users: [{ name: service-account, user: { tokenFile: ${serviceAccount}/token } }]
contexts: [{ context: { cluster: local, user: service-account } }]
`,
};
