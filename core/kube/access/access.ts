import { AccessError, anonymous, type ClusterAccess, serverUrl } from "./cluster_access.ts";
import { readKubeconfig } from "./kubeconfig.ts";
import { proxyFromEnvironment } from "./proxy_environment.ts";

export interface AccessFlags {
  /** --kubeconfig; "" when not given. */
  readonly kubeconfig: string;
  /** --master; "" when not given. Overrides the server of the kubeconfig. */
  readonly master: string;
}

/** Sources of a pod's access to its cluster. */
export interface Environment {
  env(name: string): string | undefined;
  /** Directory where the kubelet mounts the service account. */
  readonly serviceAccount: string;
}

const PROCESS_ENVIRONMENT: Environment = {
  env: (name) => Deno.env.get(name),
  serviceAccount: "/var/run/secrets/kubernetes.io/serviceaccount",
};

/**
 * Determines how to reach the API server: from the kubeconfig, from --master, or, when neither is given, from the pod's
 * service account.
 * @throws AccessError
 */
export function clusterAccess(
  flags: AccessFlags,
  environment: Environment = PROCESS_ENVIRONMENT,
): ClusterAccess {
  const access = configuredAccess(flags, environment);
  if (access.proxyUrl !== "") return access;
  return { ...access, proxyUrl: proxyFromEnvironment(access.server, environment.env) };
}

function configuredAccess({ kubeconfig, master }: AccessFlags, environment: Environment): ClusterAccess {
  if (kubeconfig !== "") return readKubeconfig(kubeconfig, master);
  if (master === "") return inCluster(environment);
  return {
    origin: `--master ${master}`,
    server: serverUrl(master, "--master", false),
    authority: undefined,
    tlsServerName: "",
    isInsecure: false,
    proxyUrl: "",
    user: anonymous,
  };
}

function inCluster({ env, serviceAccount }: Environment): ClusterAccess {
  const host = env("KUBERNETES_SERVICE_HOST") ?? "";
  const port = env("KUBERNETES_SERVICE_PORT") ?? "";
  if (host === "" || port === "") {
    throw new AccessError(
      "no API server: neither --kubeconfig nor --master is given, and this is not a pod " +
        "(KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set). " +
        "Give --kubeconfig FILE, or --manifests DIR to run without a cluster",
    );
  }
  const token = `${serviceAccount}/token`;
  try {
    Deno.statSync(token);
  } catch (error) {
    throw new AccessError(
      `the pod's service account: ${token}: ${error instanceof Error ? error.message : error}. ` +
        "Set automountServiceAccountToken, or give --kubeconfig FILE",
    );
  }
  return {
    origin: "the pod's service account",
    server: new URL(`https://${host.includes(":") ? `[${host}]` : host}:${port}`),
    authority: { file: `${serviceAccount}/ca.crt` },
    tlsServerName: "",
    isInsecure: false,
    proxyUrl: "",
    user: { ...anonymous, token: { file: token } },
  };
}
