/** Device with the addresses of services, ours and kube-proxy's. Its addresses are not addresses of the node. */
export const SERVICE_DEVICE = "kube-ipvs0";
