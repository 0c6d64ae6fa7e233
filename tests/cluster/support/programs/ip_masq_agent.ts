/** Ranges that ip-masq-agent does not masquerade by default (RFC 1918). */
const nonMasqueradeCidrs = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];

const comment =
  "ip-masq-agent: ensure nat POSTROUTING directs all non-LOCAL destination traffic to our custom IP-MASQ-AGENT chain";

/**
 * Rules of ip-masq-agent with its default configuration, in the format of iptables-save. The
 * agent writes nothing for IPv6 by default.
 */
export const ipMasqAgentRules = `*nat
:IP-MASQ-AGENT - [0:0]
-A POSTROUTING -m comment --comment "${comment}" -m addrtype ! --dst-type LOCAL -j IP-MASQ-AGENT
${["169.254.0.0/16", ...nonMasqueradeCidrs].map(exception).join("\n")}
-A IP-MASQ-AGENT -m comment --comment "ip-masq-agent: outbound traffic is subject to MASQUERADE (must be last in chain)" -j MASQUERADE --random-fully
COMMIT
`;

function exception(cidr: string): string {
  return `-A IP-MASQ-AGENT -m comment --comment "ip-masq-agent: local traffic is not subject to MASQUERADE" -d ${cidr} -j RETURN`;
}
