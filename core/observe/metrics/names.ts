/** As Kubernetes marks metrics that may still change. */
export function alpha(name: string, help: string, ...labels: readonly string[]) {
  return { name: `kubeproxy_${name}`, help: `[ALPHA] ${help}`, ...(labels.length > 0 ? { labels } : {}) };
}
