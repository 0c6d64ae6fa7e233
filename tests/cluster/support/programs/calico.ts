/** Rules in the style of Calico, each of which looks at another part of a packet or its conntrack entry. */

/**
 * Policy of a host endpoint: only these clients reach a port of the node's own processes. In
 * the format of iptables-save, as all of these.
 */
export function hostEndpointRules(port: number, clients: readonly string[]): string {
  return [
    "*filter",
    ":cali-INPUT - [0:0]",
    "-I INPUT 1 -j cali-INPUT",
    "-A cali-INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    ...clients.map((client) => `-A cali-INPUT -s ${client} -p tcp -m tcp --dport ${port} -j ACCEPT`),
    `-A cali-INPUT -p tcp -m tcp --dport ${port} -j DROP`,
    "COMMIT",
    "",
  ].join("\n");
}

/** Policy with preDNAT: drops packets to a node port before they are translated. */
export function preDnatRules(port: number): string {
  return [
    "*mangle",
    ":cali-PREROUTING - [0:0]",
    "-I PREROUTING 1 -j cali-PREROUTING",
    "-A cali-PREROUTING -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    `-A cali-PREROUTING -i eth0 -p tcp -m tcp --dport ${port} -j DROP`,
    "COMMIT",
    "",
  ].join("\n");
}

/** Rejects one client's connections that were opened to an address, by the original destination that conntrack has. */
export function originalDestinationRules(client: string, destination: string): string {
  return [
    "*filter",
    ":cali-FORWARD - [0:0]",
    "-I FORWARD 1 -j cali-FORWARD",
    `-A cali-FORWARD -s ${client} -m conntrack --ctorigdst ${destination} -j REJECT`,
    "COMMIT",
    "",
  ].join("\n");
}

/**
 * Marks the conntrack entries of connections from outside to an address of the node, as the VPC CNI of AWS does to route
 * the answers by, and rejects the marked ones at a port.
 */
export function connectionMarkRules(port: number): string {
  return [
    "*mangle",
    "-A PREROUTING -i eth0 -m addrtype --dst-type LOCAL -j CONNMARK --set-xmark 0x80/0x80",
    "COMMIT",
    "*filter",
    `-I FORWARD 1 -p tcp -m tcp --dport ${port} -m connmark --mark 0x80/0x80 -j REJECT`,
    "COMMIT",
    "",
  ].join("\n");
}

/** Marks packets as Calico does when a policy has accepted them, and drops those whose mark is gone. */
export function markRules(podRange: string): string {
  return [
    "*mangle",
    ":cali-PREROUTING - [0:0]",
    ":cali-POSTROUTING - [0:0]",
    "-I PREROUTING 1 -j cali-PREROUTING",
    "-I POSTROUTING 1 -j cali-POSTROUTING",
    "-A cali-PREROUTING -j MARK --set-xmark 0x10000000/0x10000000",
    `-A cali-POSTROUTING -d ${podRange} -m addrtype ! --src-type LOCAL -m mark ! --mark 0x10000000/0x10000000 -j DROP`,
    "COMMIT",
    "",
  ].join("\n");
}
