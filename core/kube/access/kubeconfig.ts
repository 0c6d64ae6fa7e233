import { dirname, resolve } from "node:path";
import * as v from "valibot";
import { isMapping } from "../../objects/parse/fields.ts";
import { decodeFirstYaml, YamlError } from "../../yaml.ts";
import {
  AccessError,
  anonymous,
  type ClusterAccess,
  type ExecPlugin,
  type PemSource,
  serverUrl,
  type UserAccess,
} from "./cluster_access.ts";
import {
  type Kubeconfig,
  type KubeconfigCluster,
  type KubeconfigContext,
  kubeconfigSchema,
  type KubeconfigUser,
  NO_CLUSTER,
} from "./kubeconfig_schema.ts";

/**
 * Reads the current context of a kubeconfig file. Paths in it are relative to the file and are not read here.
 * @param master overrides the cluster's server unless ""
 * @throws AccessError that names the file and the field
 */
export function readKubeconfig(path: string, master: string): ClusterAccess {
  const file = new KubeconfigFile(resolve(path), parse(path));
  const { cluster, clusterAt, user, userAt } = file.current(master);
  const authority = file.pem(clusterAt, "certificate-authority", cluster);
  const isInsecure = cluster["insecure-skip-tls-verify"];
  // Both at once contradict each other; client-go rejects them too.
  if (isInsecure && authority !== undefined) {
    throw new AccessError(
      `${clusterAt}: has both certificate-authority and insecure-skip-tls-verify; remove one of them`,
    );
  }
  const hasCertificate = user !== undefined &&
    (user["client-certificate"] !== "" || user["client-certificate-data"] !== "");
  const withTls = authority !== undefined || isInsecure || hasCertificate;
  const server = master !== ""
    ? serverUrl(master, "--master", withTls)
    : serverUrl(cluster.server, `${clusterAt}.server`, withTls);
  if (cluster["proxy-url"] !== "" && !/^(https?|socks5h?):\/\//.test(cluster["proxy-url"])) {
    throw new AccessError(
      `${clusterAt}.proxy-url: ${
        JSON.stringify(cluster["proxy-url"])
      } must start with http://, https:// or socks5://`,
    );
  }
  return {
    origin: `kubeconfig ${path}`,
    server,
    authority,
    tlsServerName: cluster["tls-server-name"],
    isInsecure,
    proxyUrl: cluster["proxy-url"],
    user: user === undefined
      ? anonymous
      : file.access(user, userAt, () => clusterInfo(cluster, server, authority)),
  };
}

function parse(path: string): Kubeconfig {
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (error) {
    throw new AccessError(`kubeconfig ${path}: ${error instanceof Error ? error.message : error}`);
  }
  let contents: unknown;
  try {
    contents = decodeFirstYaml(text).value;
  } catch (error) {
    if (error instanceof YamlError) {
      throw new AccessError(`kubeconfig ${path}:${error.line}: ${error.message}`);
    }
    throw error;
  }
  if (!isMapping(contents)) {
    throw new AccessError(
      `kubeconfig ${path}: not a kubeconfig; it must be a mapping with clusters, users and contexts`,
    );
  }
  const result = v.safeParse(kubeconfigSchema, contents);
  if (result.success) return result.output;
  const issue = result.issues[0];
  // The rejected value is not shown, because it may be a secret.
  const problem = issue.message.replace(/ but received .*$/s, "");
  throw new AccessError(`kubeconfig ${path}: ${v.getDotPath(issue)}: ${problem}`);
}

class KubeconfigFile {
  readonly #path: string;
  readonly #config: Kubeconfig;

  constructor(path: string, config: Kubeconfig) {
    this.#path = path;
    this.#config = config;
  }

  /** Cluster and user of the current context, and their paths for messages. */
  current(master: string): {
    readonly cluster: KubeconfigCluster;
    readonly clusterAt: string;
    readonly user: KubeconfigUser | undefined;
    readonly userAt: string;
  } {
    const name = this.#config["current-context"];
    // The name "" finds an unnamed context, cluster or user.
    const context = this.#config.contexts.find((one) => one.name === name)?.context ?? this.#noContext(name);
    const { cluster: clusterName, user: userName } = context;
    const contextAt = `contexts[${JSON.stringify(name)}].context`;
    const cluster = this.#config.clusters.find((one) => one.name === clusterName)?.cluster ??
      (clusterName === "" && master !== "" ? NO_CLUSTER : undefined);
    if (cluster === undefined && clusterName === "" && name === "") {
      throw this.#error("current-context", "is not set; kubectl config use-context NAME sets it");
    }
    if (cluster === undefined) {
      throw this.#error(`${contextAt}.cluster`, `no cluster is named ${JSON.stringify(clusterName)}`);
    }
    const clusterAt = `clusters[${JSON.stringify(clusterName)}].cluster`;
    if (cluster.server === "" && master === "") throw this.#error(`${clusterAt}.server`, "is missing");
    const user = this.#config.users.find((one) => one.name === userName)?.user;
    if (user === undefined && userName !== "") {
      throw this.#error(`${contextAt}.user`, `no user is named ${JSON.stringify(userName)}`);
    }
    return {
      cluster,
      clusterAt: this.#where(clusterAt),
      user,
      userAt: `users[${JSON.stringify(userName)}].user`,
    };
  }

  #noContext(name: string): KubeconfigContext {
    if (name === "") return { cluster: "", user: "" };
    throw this.#error("current-context", `no context is named ${JSON.stringify(name)}`);
  }

  access(user: KubeconfigUser, at: string, info: () => Readonly<Record<string, unknown>>): UserAccess {
    const hasToken = user.token !== "" || user.tokenFile !== "";
    if (hasToken && user.username !== "") {
      throw this.#error(at, "has both a token and a username; remove one of them");
    }
    if (user["auth-provider"] !== null && user["auth-provider"] !== undefined) {
      throw this.#error(`${at}.auth-provider`, "is not supported (Kubernetes removed it in 1.26); use exec");
    }
    const chain = this.pem(this.#where(at), "client-certificate", user);
    const key = this.pem(this.#where(at), "client-key", user);
    if ((chain === undefined) !== (key === undefined)) {
      const missing = chain === undefined ? "client-certificate" : "client-key";
      throw this.#error(at, `${missing} (or ${missing}-data) is missing; a client certificate needs its key`);
    }
    return {
      token: user.tokenFile !== ""
        ? { file: this.#resolve(user.tokenFile) }
        : user.token !== ""
        ? { text: user.token }
        : undefined,
      basic: user.username !== "" ? { username: user.username, password: user.password } : undefined,
      certificate: chain !== undefined && key !== undefined ? { chain, key } : undefined,
      exec: user.exec ? this.#plugin(user.exec, `${at}.exec`, info) : undefined,
      impersonation: [...impersonation(user)],
    };
  }

  /** PEM from `field`-data or from the file named by `field`. */
  pem<Field extends string>(
    at: string,
    field: Field,
    from: Readonly<Record<Field | `${Field}-data`, string>>,
  ): PemSource | undefined {
    const inline = from[`${field}-data`];
    if (inline === "") return from[field] === "" ? undefined : { file: this.#resolve(from[field]) };
    try {
      return { text: new TextDecoder().decode(Uint8Array.fromBase64(inline)) };
    } catch {
      throw new AccessError(`${at}.${field}-data: is not base64`);
    }
  }

  #plugin(
    exec: NonNullable<KubeconfigUser["exec"]>,
    at: string,
    info: () => Readonly<Record<string, unknown>>,
  ): ExecPlugin {
    if (exec.interactiveMode === "Always") {
      throw this.#error(
        `${at}.interactiveMode`,
        "Always needs a terminal, which a service does not have; set it to Never or IfAvailable",
      );
    }
    return {
      apiVersion: exec.apiVersion,
      command: exec.command.includes("/") ? this.#resolve(exec.command) : exec.command,
      args: exec.args,
      env: Object.fromEntries(exec.env.map(({ name, value }) => [name, value])),
      installHint: exec.installHint,
      cluster: exec.provideClusterInfo ? info() : undefined,
    };
  }

  #resolve(path: string): string {
    return resolve(dirname(this.#path), path);
  }

  #where(field: string): string {
    return `kubeconfig ${this.#path}: ${field}`;
  }

  #error(field: string, problem: string): AccessError {
    return new AccessError(`${this.#where(field)}: ${problem}`);
  }
}

function* impersonation(user: KubeconfigUser): Generator<readonly [string, string]> {
  if (user.as !== "") yield ["Impersonate-User", user.as];
  if (user["as-uid"] !== "") yield ["Impersonate-Uid", user["as-uid"]];
  for (const group of user["as-groups"]) yield ["Impersonate-Group", group];
  for (const [key, values] of Object.entries(user["as-user-extra"])) {
    for (const value of values) yield [`Impersonate-Extra-${encodeURIComponent(key)}`, value];
  }
}

/** spec.cluster of an ExecCredential (client.authentication.k8s.io/v1). */
function clusterInfo(
  cluster: KubeconfigCluster,
  server: URL,
  authority: PemSource | undefined,
): Readonly<Record<string, unknown>> {
  const config = cluster.extensions.find((one) => one.name === "client.authentication.k8s.io/exec")
    ?.extension;
  return {
    server: server.href.replace(/\/$/, ""),
    ...(cluster["tls-server-name"] !== "" && { "tls-server-name": cluster["tls-server-name"] }),
    ...(cluster["insecure-skip-tls-verify"] && { "insecure-skip-tls-verify": true }),
    ...(authority !== undefined && { "certificate-authority-data": authorityData(authority) }),
    ...(cluster["proxy-url"] !== "" && { "proxy-url": cluster["proxy-url"] }),
    ...(config !== undefined && { config }),
  };
}

function authorityData(authority: PemSource): string {
  try {
    const bytes = "text" in authority
      ? new TextEncoder().encode(authority.text)
      : Deno.readFileSync(authority.file);
    return bytes.toBase64();
  } catch (error) {
    throw new AccessError(`certificate-authority: ${error instanceof Error ? error.message : error}`);
  }
}
