/** Scenarios that a subject is known not to pass, by the subject's name and the scenario's file, with the reason. */
export const differences: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "kube-proxy nftables": {
    "duplicate-node-port.yaml": "an API server does not give one NodePort to two services",
    "duplicate-external-ip.yaml": "which of two claimants it serves is chance",
  },
};
