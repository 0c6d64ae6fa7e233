import assert from "node:assert/strict";
import { compile } from "../../../backends/iptables/rules/compile.ts";
import { cidrOf, planOf, settingsOf } from "../plans.ts";
import { linesOf } from "./support/rule_lines.ts";

// The listings are the output of `iptables-save` and `ip6tables-save` 1.8.9 with the rules of kube-proxy
// 1.37.1.

const withLocalhost = { settings: settingsOf("IPv4", { localhostNodePorts: true }), nfacct: true };

/** A service port with session affinity. */
const stickyPlan = planOf({
  name: "sticky",
  portName: "",
  protocol: "UDP",
  clusterIP: "10.96.0.15:53",
  external: "reject",
  affinitySeconds: 600,
  endpoints: ["10.1.0.9:5353@here", "10.2.0.1:5353"],
});

Deno.test("a ClusterIP leads to all endpoints with equal probability, sorted by printed address", () => {
  const plan = planOf({
    name: "cluster",
    clusterIP: "10.96.0.10:80",
    external: "reject",
    endpoints: ["10.1.0.9:8080@here", "10.1.0.10:8080@here", "10.2.0.1:8080"],
  });
  assert.deepEqual(
    linesOf(plan),
    listing(`
      -A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m comment --comment "default/cluster:http cluster IP" -m tcp --dport 80 -j KUBE-SVC-LZKAWUTTWP7H4MTY
      -A KUBE-SEP-IHYTKPKJL4JV2ZHS -s 10.1.0.10/32 -m comment --comment "default/cluster:http" -j KUBE-MARK-MASQ
      -A KUBE-SEP-IHYTKPKJL4JV2ZHS -p tcp -m comment --comment "default/cluster:http" -m tcp -j DNAT --to-destination 10.1.0.10:8080
      -A KUBE-SEP-ZAD7XKZJU2QEYQND -s 10.1.0.9/32 -m comment --comment "default/cluster:http" -j KUBE-MARK-MASQ
      -A KUBE-SEP-ZAD7XKZJU2QEYQND -p tcp -m comment --comment "default/cluster:http" -m tcp -j DNAT --to-destination 10.1.0.9:8080
      -A KUBE-SEP-CZLLP574OHOS42KP -s 10.2.0.1/32 -m comment --comment "default/cluster:http" -j KUBE-MARK-MASQ
      -A KUBE-SEP-CZLLP574OHOS42KP -p tcp -m comment --comment "default/cluster:http" -m tcp -j DNAT --to-destination 10.2.0.1:8080
      -A KUBE-SVC-LZKAWUTTWP7H4MTY ! -s 10.1.0.0/24 -d 10.96.0.10/32 -p tcp -m comment --comment "default/cluster:http cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ
      -A KUBE-SVC-LZKAWUTTWP7H4MTY -m comment --comment "default/cluster:http -> 10.1.0.10:8080" -m statistic --mode random --probability 0.33333333349 -j KUBE-SEP-IHYTKPKJL4JV2ZHS
      -A KUBE-SVC-LZKAWUTTWP7H4MTY -m comment --comment "default/cluster:http -> 10.1.0.9:8080" -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-ZAD7XKZJU2QEYQND
      -A KUBE-SVC-LZKAWUTTWP7H4MTY -m comment --comment "default/cluster:http -> 10.2.0.1:8080" -j KUBE-SEP-CZLLP574OHOS42KP
    `),
  );
});

Deno.test("weights make no difference", () => {
  const lines = (...endpoints: readonly string[]) =>
    linesOf(planOf({ clusterIP: "10.96.0.10:80", endpoints }));
  assert.deepEqual(
    lines("10.1.0.1:80 weight 0", "10.1.0.2:80 weight 9"),
    lines("10.1.0.1:80", "10.1.0.2:80"),
  );
});

Deno.test("the probability of an endpoint is rounded as kube-proxy rounds it", () => {
  const endpoints = Array.from({ length: 44 }, (_, index) => `10.1.0.${index}:80`);
  const probabilities = linesOf(planOf({ clusterIP: "10.96.0.10:80", external: "reject", endpoints }))
    .flatMap((line) => /--probability (\S+)/.exec(line)?.[1] ?? []);
  assert.equal(probabilities.length, 43);
  // Among the values that the kernel can express, 0.02272727294 is nearest to 1/44, and this one to its ten
  // decimals.
  assert.equal(probabilities[0], "0.02272727247");
});

Deno.test("IPv6 has the same service chain names, and endpoints in brackets", () => {
  const plan = planOf({
    name: "cluster",
    clusterIP: "[fd00:10:96::10]:80",
    external: "reject",
    endpoints: ["[fd00:1::9]:8080@here", "[fd00:1::10]:8080@here"],
  });
  assert.deepEqual(
    linesOf(plan),
    listing(`
      -A KUBE-SERVICES -d fd00:10:96::10/128 -p tcp -m comment --comment "default/cluster:http cluster IP" -m tcp --dport 80 -j KUBE-SVC-LZKAWUTTWP7H4MTY
      -A KUBE-SEP-UCDL4BQI6FWUF7XO -s fd00:1::10/128 -m comment --comment "default/cluster:http" -j KUBE-MARK-MASQ
      -A KUBE-SEP-UCDL4BQI6FWUF7XO -p tcp -m comment --comment "default/cluster:http" -m tcp -j DNAT --to-destination [fd00:1::10]:8080
      -A KUBE-SEP-5KQEGOXWNVNXRSUE -s fd00:1::9/128 -m comment --comment "default/cluster:http" -j KUBE-MARK-MASQ
      -A KUBE-SEP-5KQEGOXWNVNXRSUE -p tcp -m comment --comment "default/cluster:http" -m tcp -j DNAT --to-destination [fd00:1::9]:8080
      -A KUBE-SVC-LZKAWUTTWP7H4MTY ! -s fd00:1::/64 -d fd00:10:96::10/128 -p tcp -m comment --comment "default/cluster:http cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ
      -A KUBE-SVC-LZKAWUTTWP7H4MTY -m comment --comment "default/cluster:http -> [fd00:1::10]:8080" -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-UCDL4BQI6FWUF7XO
      -A KUBE-SVC-LZKAWUTTWP7H4MTY -m comment --comment "default/cluster:http -> [fd00:1::9]:8080" -j KUBE-SEP-5KQEGOXWNVNXRSUE
    `),
  );
});

Deno.test("with session affinity the endpoint that a client used recently is tried before a random one", () => {
  assert.deepEqual(
    linesOf(stickyPlan),
    listing(`
      -A KUBE-SERVICES -d 10.96.0.15/32 -p udp -m comment --comment "default/sticky cluster IP" -m udp --dport 53 -j KUBE-SVC-U72AG2NTKV47436N
      -A KUBE-SEP-4L7NJW5CKLHC3RGI -s 10.1.0.9/32 -m comment --comment "default/sticky" -j KUBE-MARK-MASQ
      -A KUBE-SEP-4L7NJW5CKLHC3RGI -p udp -m comment --comment "default/sticky" -m recent --set --name KUBE-SEP-4L7NJW5CKLHC3RGI --mask 255.255.255.255 --rsource -m udp -j DNAT --to-destination 10.1.0.9:5353
      -A KUBE-SEP-PKI6KFSJFYHRVKOW -s 10.2.0.1/32 -m comment --comment "default/sticky" -j KUBE-MARK-MASQ
      -A KUBE-SEP-PKI6KFSJFYHRVKOW -p udp -m comment --comment "default/sticky" -m recent --set --name KUBE-SEP-PKI6KFSJFYHRVKOW --mask 255.255.255.255 --rsource -m udp -j DNAT --to-destination 10.2.0.1:5353
      -A KUBE-SVC-U72AG2NTKV47436N ! -s 10.1.0.0/24 -d 10.96.0.15/32 -p udp -m comment --comment "default/sticky cluster IP" -m udp --dport 53 -j KUBE-MARK-MASQ
      -A KUBE-SVC-U72AG2NTKV47436N -m comment --comment "default/sticky -> 10.1.0.9:5353" -m recent --rcheck --seconds 600 --reap --name KUBE-SEP-4L7NJW5CKLHC3RGI --mask 255.255.255.255 --rsource -j KUBE-SEP-4L7NJW5CKLHC3RGI
      -A KUBE-SVC-U72AG2NTKV47436N -m comment --comment "default/sticky -> 10.2.0.1:5353" -m recent --rcheck --seconds 600 --reap --name KUBE-SEP-PKI6KFSJFYHRVKOW --mask 255.255.255.255 --rsource -j KUBE-SEP-PKI6KFSJFYHRVKOW
      -A KUBE-SVC-U72AG2NTKV47436N -m comment --comment "default/sticky -> 10.1.0.9:5353" -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-4L7NJW5CKLHC3RGI
      -A KUBE-SVC-U72AG2NTKV47436N -m comment --comment "default/sticky -> 10.2.0.1:5353" -j KUBE-SEP-PKI6KFSJFYHRVKOW
    `),
  );
});

Deno.test("external addresses and node ports are masqueraded with externalTrafficPolicy Cluster", () => {
  const plan = planOf({
    name: "sctp",
    portName: "s",
    protocol: "SCTP",
    clusterIP: "10.96.0.16:9",
    nodePort: 30016,
    endpoints: ["10.2.0.1:99"],
  });
  assert.deepEqual(
    linesOf(plan, withLocalhost),
    listing(`
      -A KUBE-SERVICES -d 10.96.0.16/32 -p sctp -m comment --comment "default/sctp:s cluster IP" -m sctp --dport 9 -j KUBE-SVC-YPSVDYCM26PJVJRL
      -A KUBE-NODEPORTS -d 127.0.0.0/8 -p sctp -m comment --comment "default/sctp:s" -m sctp --dport 30016 -m nfacct --nfacct-name  localhost_nps_accepted_pkts -j KUBE-EXT-YPSVDYCM26PJVJRL
      -A KUBE-NODEPORTS -p sctp -m comment --comment "default/sctp:s" -m sctp --dport 30016 -j KUBE-EXT-YPSVDYCM26PJVJRL
      -A KUBE-SEP-NERR7WBD763MC76W -s 10.2.0.1/32 -m comment --comment "default/sctp:s" -j KUBE-MARK-MASQ
      -A KUBE-SEP-NERR7WBD763MC76W -p sctp -m comment --comment "default/sctp:s" -m sctp -j DNAT --to-destination 10.2.0.1:99
      -A KUBE-SVC-YPSVDYCM26PJVJRL ! -s 10.1.0.0/24 -d 10.96.0.16/32 -p sctp -m comment --comment "default/sctp:s cluster IP" -m sctp --dport 9 -j KUBE-MARK-MASQ
      -A KUBE-SVC-YPSVDYCM26PJVJRL -m comment --comment "default/sctp:s -> 10.2.0.1:99" -j KUBE-SEP-NERR7WBD763MC76W
      -A KUBE-EXT-YPSVDYCM26PJVJRL -m comment --comment "masquerade traffic for default/sctp:s external destinations" -j KUBE-MARK-MASQ
      -A KUBE-EXT-YPSVDYCM26PJVJRL -j KUBE-SVC-YPSVDYCM26PJVJRL
    `),
  );
});

Deno.test("with both policies Local only clients on this node reach endpoints of other nodes", () => {
  const plan = planOf({
    name: "local",
    clusterIP: "10.96.0.12:80",
    externalIPs: ["198.51.100.12:80"],
    loadBalancerIPs: ["203.0.113.12:80"],
    nodePort: 30012,
    healthCheckNodePort: 30112,
    internal: "local",
    external: "local",
    endpoints: ["10.1.0.10:8080@here", "10.2.0.1:8080"],
  });
  assert.deepEqual(
    linesOf(plan, withLocalhost),
    listing(`
      -A KUBE-SERVICES -d 10.96.0.12/32 -p tcp -m comment --comment "default/local:http cluster IP" -m tcp --dport 80 -j KUBE-SVL-3ENVKKDUT2EZ6WIE
      -A KUBE-SERVICES -d 198.51.100.12/32 -p tcp -m comment --comment "default/local:http external IP" -m tcp --dport 80 -j KUBE-EXT-3ENVKKDUT2EZ6WIE
      -A KUBE-SERVICES -d 203.0.113.12/32 -p tcp -m comment --comment "default/local:http loadbalancer IP" -m tcp --dport 80 -j KUBE-EXT-3ENVKKDUT2EZ6WIE
      -A KUBE-NODEPORTS -d 127.0.0.0/8 -p tcp -m comment --comment "default/local:http" -m tcp --dport 30012 -m nfacct --nfacct-name  localhost_nps_accepted_pkts -j KUBE-EXT-3ENVKKDUT2EZ6WIE
      -A KUBE-NODEPORTS -p tcp -m comment --comment "default/local:http" -m tcp --dport 30012 -j KUBE-EXT-3ENVKKDUT2EZ6WIE
      filter: -A KUBE-NODEPORTS -p tcp -m comment --comment "default/local:http health check node port" -m tcp --dport 30112 -j ACCEPT
      -A KUBE-SEP-AQZI6Z23OMQDSYY6 -s 10.1.0.10/32 -m comment --comment "default/local:http" -j KUBE-MARK-MASQ
      -A KUBE-SEP-AQZI6Z23OMQDSYY6 -p tcp -m comment --comment "default/local:http" -m tcp -j DNAT --to-destination 10.1.0.10:8080
      -A KUBE-SEP-WPSIB2LXJOKD3DN2 -s 10.2.0.1/32 -m comment --comment "default/local:http" -j KUBE-MARK-MASQ
      -A KUBE-SEP-WPSIB2LXJOKD3DN2 -p tcp -m comment --comment "default/local:http" -m tcp -j DNAT --to-destination 10.2.0.1:8080
      -A KUBE-SVC-3ENVKKDUT2EZ6WIE -m comment --comment "default/local:http -> 10.1.0.10:8080" -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-AQZI6Z23OMQDSYY6
      -A KUBE-SVC-3ENVKKDUT2EZ6WIE -m comment --comment "default/local:http -> 10.2.0.1:8080" -j KUBE-SEP-WPSIB2LXJOKD3DN2
      -A KUBE-SVL-3ENVKKDUT2EZ6WIE ! -s 10.1.0.0/24 -d 10.96.0.12/32 -p tcp -m comment --comment "default/local:http cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ
      -A KUBE-SVL-3ENVKKDUT2EZ6WIE -m comment --comment "default/local:http -> 10.1.0.10:8080" -j KUBE-SEP-AQZI6Z23OMQDSYY6
      -A KUBE-EXT-3ENVKKDUT2EZ6WIE -s 10.1.0.0/24 -m comment --comment "pod traffic for default/local:http external destinations" -j KUBE-SVC-3ENVKKDUT2EZ6WIE
      -A KUBE-EXT-3ENVKKDUT2EZ6WIE -m comment --comment "masquerade LOCAL traffic for default/local:http external destinations" -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ
      -A KUBE-EXT-3ENVKKDUT2EZ6WIE -m comment --comment "route LOCAL traffic for default/local:http external destinations" -m addrtype --src-type LOCAL -j KUBE-SVC-3ENVKKDUT2EZ6WIE
      -A KUBE-EXT-3ENVKKDUT2EZ6WIE -j KUBE-SVL-3ENVKKDUT2EZ6WIE
    `),
  );
});

Deno.test("with both policies Local and no endpoint on this node, other clients are dropped", () => {
  const plan = planOf({
    name: "remote",
    clusterIP: "10.96.0.13:80",
    externalIPs: ["198.51.100.13:80"],
    loadBalancerIPs: ["203.0.113.13:80"],
    nodePort: 30013,
    healthCheckNodePort: 30113,
    internal: "drop",
    external: "local",
    endpoints: ["10.2.0.1:8080"],
  });
  assert.deepEqual(
    linesOf(plan, withLocalhost),
    listing(`
      filter: -A KUBE-SERVICES -d 10.96.0.13/32 -p tcp -m comment --comment "default/remote:http has no local endpoints" -m tcp --dport 80 -j DROP
      -A KUBE-SERVICES -d 198.51.100.13/32 -p tcp -m comment --comment "default/remote:http external IP" -m tcp --dport 80 -j KUBE-EXT-KO32SF3OKATWNFS7
      filter: -A KUBE-EXTERNAL-SERVICES -d 198.51.100.13/32 -p tcp -m comment --comment "default/remote:http has no local endpoints" -m tcp --dport 80 -j DROP
      -A KUBE-SERVICES -d 203.0.113.13/32 -p tcp -m comment --comment "default/remote:http loadbalancer IP" -m tcp --dport 80 -j KUBE-EXT-KO32SF3OKATWNFS7
      filter: -A KUBE-EXTERNAL-SERVICES -d 203.0.113.13/32 -p tcp -m comment --comment "default/remote:http has no local endpoints" -m tcp --dport 80 -j DROP
      -A KUBE-NODEPORTS -d 127.0.0.0/8 -p tcp -m comment --comment "default/remote:http" -m tcp --dport 30013 -m nfacct --nfacct-name  localhost_nps_accepted_pkts -j KUBE-EXT-KO32SF3OKATWNFS7
      -A KUBE-NODEPORTS -p tcp -m comment --comment "default/remote:http" -m tcp --dport 30013 -j KUBE-EXT-KO32SF3OKATWNFS7
      filter: -A KUBE-EXTERNAL-SERVICES -p tcp -m comment --comment "default/remote:http has no local endpoints" -m addrtype --dst-type LOCAL -m tcp --dport 30013 -j DROP
      filter: -A KUBE-NODEPORTS -p tcp -m comment --comment "default/remote:http health check node port" -m tcp --dport 30113 -j ACCEPT
      -A KUBE-SEP-FIMFJXPEO557I2FJ -s 10.2.0.1/32 -m comment --comment "default/remote:http" -j KUBE-MARK-MASQ
      -A KUBE-SEP-FIMFJXPEO557I2FJ -p tcp -m comment --comment "default/remote:http" -m tcp -j DNAT --to-destination 10.2.0.1:8080
      -A KUBE-SVC-KO32SF3OKATWNFS7 -m comment --comment "default/remote:http -> 10.2.0.1:8080" -j KUBE-SEP-FIMFJXPEO557I2FJ
      -A KUBE-EXT-KO32SF3OKATWNFS7 -s 10.1.0.0/24 -m comment --comment "pod traffic for default/remote:http external destinations" -j KUBE-SVC-KO32SF3OKATWNFS7
      -A KUBE-EXT-KO32SF3OKATWNFS7 -m comment --comment "masquerade LOCAL traffic for default/remote:http external destinations" -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ
      -A KUBE-EXT-KO32SF3OKATWNFS7 -m comment --comment "route LOCAL traffic for default/remote:http external destinations" -m addrtype --src-type LOCAL -j KUBE-SVC-KO32SF3OKATWNFS7
    `),
  );
});

Deno.test("without endpoints everything is rejected, with and without source ranges", () => {
  const plan = planOf({
    name: "empty",
    clusterIP: "10.96.0.11:80",
    externalIPs: ["198.51.100.11:80"],
    loadBalancerIPs: ["203.0.113.11:80"],
    nodePort: 30011,
    internal: "reject",
    external: "reject",
    sourceRanges: ["10.0.0.0/8"],
    endpoints: [],
  });
  assert.deepEqual(
    linesOf(plan, withLocalhost),
    listing(`
      filter: -A KUBE-SERVICES -d 10.96.0.11/32 -p tcp -m comment --comment "default/empty:http has no endpoints" -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable
      filter: -A KUBE-EXTERNAL-SERVICES -d 198.51.100.11/32 -p tcp -m comment --comment "default/empty:http has no endpoints" -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable
      filter: -A KUBE-EXTERNAL-SERVICES -d 203.0.113.11/32 -p tcp -m comment --comment "default/empty:http has no endpoints" -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable
      filter: -A KUBE-EXTERNAL-SERVICES -p tcp -m comment --comment "default/empty:http has no endpoints" -m addrtype --dst-type LOCAL -m tcp --dport 30011 -j REJECT --reject-with icmp-port-unreachable
    `),
  );
});

Deno.test("a load-balancer IP with source ranges leads to KUBE-FW, and other sources are dropped", () => {
  const plan = planOf({
    name: "ranges",
    clusterIP: "10.96.0.14:80",
    loadBalancerIPs: ["203.0.113.14:80"],
    sourceRanges: ["192.0.2.0/24", "203.0.113.14/32"],
    endpoints: ["10.2.0.1:8080"],
  });
  assert.deepEqual(
    linesOf(plan),
    listing(`
      -A KUBE-SERVICES -d 10.96.0.14/32 -p tcp -m comment --comment "default/ranges:http cluster IP" -m tcp --dport 80 -j KUBE-SVC-OK2N6J6VGTPWMNAZ
      -A KUBE-SERVICES -d 203.0.113.14/32 -p tcp -m comment --comment "default/ranges:http loadbalancer IP" -m tcp --dport 80 -j KUBE-FW-OK2N6J6VGTPWMNAZ
      filter: -A KUBE-PROXY-FIREWALL -d 203.0.113.14/32 -p tcp -m comment --comment "default/ranges:http traffic not accepted by KUBE-FW-OK2N6J6VGTPWMNAZ" -m tcp --dport 80 -j DROP
      -A KUBE-SEP-2RMZZEO3FJSSAAO5 -s 10.2.0.1/32 -m comment --comment "default/ranges:http" -j KUBE-MARK-MASQ
      -A KUBE-SEP-2RMZZEO3FJSSAAO5 -p tcp -m comment --comment "default/ranges:http" -m tcp -j DNAT --to-destination 10.2.0.1:8080
      -A KUBE-SVC-OK2N6J6VGTPWMNAZ ! -s 10.1.0.0/24 -d 10.96.0.14/32 -p tcp -m comment --comment "default/ranges:http cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ
      -A KUBE-SVC-OK2N6J6VGTPWMNAZ -m comment --comment "default/ranges:http -> 10.2.0.1:8080" -j KUBE-SEP-2RMZZEO3FJSSAAO5
      -A KUBE-EXT-OK2N6J6VGTPWMNAZ -m comment --comment "masquerade traffic for default/ranges:http external destinations" -j KUBE-MARK-MASQ
      -A KUBE-EXT-OK2N6J6VGTPWMNAZ -j KUBE-SVC-OK2N6J6VGTPWMNAZ
      -A KUBE-FW-OK2N6J6VGTPWMNAZ -s 192.0.2.0/24 -m comment --comment "default/ranges:http loadbalancer IP" -j KUBE-EXT-OK2N6J6VGTPWMNAZ
      -A KUBE-FW-OK2N6J6VGTPWMNAZ -s 203.0.113.14/32 -m comment --comment "default/ranges:http loadbalancer IP" -j KUBE-EXT-OK2N6J6VGTPWMNAZ
      -A KUBE-FW-OK2N6J6VGTPWMNAZ -m comment --comment "other traffic to default/ranges:http will be dropped by KUBE-PROXY-FIREWALL"
    `),
  );
});

Deno.test("external IPs are not subject to source ranges", () => {
  const plan = planOf({
    externalIPs: ["198.51.100.1:80"],
    loadBalancerIPs: ["203.0.113.1:80"],
    sourceRanges: ["192.0.2.0/24"],
  });
  const services = linesOf(plan).filter((line) => line.startsWith("-A KUBE-SERVICES"));
  assert.deepEqual(services.map((line) => /-d (\S+)\/32 .* -j (KUBE-[A-Z]+)/.exec(line)?.slice(1)), [
    ["198.51.100.1", "KUBE-EXT"],
    ["203.0.113.1", "KUBE-FW"],
  ]);
});

Deno.test("large clusters omit the comments that concern a single endpoint", () => {
  assert.deepEqual(
    linesOf(stickyPlan, { isLarge: true }),
    listing(`
      -A KUBE-SERVICES -d 10.96.0.15/32 -p udp -m comment --comment "default/sticky cluster IP" -m udp --dport 53 -j KUBE-SVC-U72AG2NTKV47436N
      -A KUBE-SEP-4L7NJW5CKLHC3RGI -s 10.1.0.9/32 -j KUBE-MARK-MASQ
      -A KUBE-SEP-4L7NJW5CKLHC3RGI -p udp -m recent --set --name KUBE-SEP-4L7NJW5CKLHC3RGI --mask 255.255.255.255 --rsource -m udp -j DNAT --to-destination 10.1.0.9:5353
      -A KUBE-SEP-PKI6KFSJFYHRVKOW -s 10.2.0.1/32 -j KUBE-MARK-MASQ
      -A KUBE-SEP-PKI6KFSJFYHRVKOW -p udp -m recent --set --name KUBE-SEP-PKI6KFSJFYHRVKOW --mask 255.255.255.255 --rsource -m udp -j DNAT --to-destination 10.2.0.1:5353
      -A KUBE-SVC-U72AG2NTKV47436N ! -s 10.1.0.0/24 -d 10.96.0.15/32 -p udp -m comment --comment "default/sticky cluster IP" -m udp --dport 53 -j KUBE-MARK-MASQ
      -A KUBE-SVC-U72AG2NTKV47436N -m recent --rcheck --seconds 600 --reap --name KUBE-SEP-4L7NJW5CKLHC3RGI --mask 255.255.255.255 --rsource -j KUBE-SEP-4L7NJW5CKLHC3RGI
      -A KUBE-SVC-U72AG2NTKV47436N -m recent --rcheck --seconds 600 --reap --name KUBE-SEP-PKI6KFSJFYHRVKOW --mask 255.255.255.255 --rsource -j KUBE-SEP-PKI6KFSJFYHRVKOW
      -A KUBE-SVC-U72AG2NTKV47436N -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-4L7NJW5CKLHC3RGI
      -A KUBE-SVC-U72AG2NTKV47436N -j KUBE-SEP-PKI6KFSJFYHRVKOW
    `),
  );
});

Deno.test("the detection of local traffic decides what is masqueraded and what is short-circuited", () => {
  const plan = planOf({
    clusterIP: "10.96.0.10:80",
    nodePort: 30080,
    external: "local",
    endpoints: ["10.1.0.1:80@here"],
  });
  const conditions = (settings: Parameters<typeof settingsOf>[1]) =>
    linesOf(plan, { settings: settingsOf("IPv4", settings) })
      .filter((line) => /-A KUBE-SVC\S+ .*cluster IP|pod traffic/.test(line))
      .map((line) => line.replace(/^-A (KUBE-...)\S+ (.*?) -m comment.*/, "$1: $2").replace(/ -p tcp/, ""));
  assert.deepEqual(conditions({ localTraffic: { mode: "cidr", cidr: cidrOf("10.1.0.0/24") } }), [
    "KUBE-SVC: ! -s 10.1.0.0/24 -d 10.96.0.10/32",
    "KUBE-EXT: -s 10.1.0.0/24",
  ]);
  assert.deepEqual(conditions({ localTraffic: { mode: "interface", name: "cbr0" } }), [
    "KUBE-SVC: -d 10.96.0.10/32 ! -i cbr0",
    "KUBE-EXT: -i cbr0",
  ]);
  assert.deepEqual(conditions({ localTraffic: { mode: "interface-prefix", prefix: "veth" } }), [
    "KUBE-SVC: -d 10.96.0.10/32 ! -i veth+",
    "KUBE-EXT: -i veth+",
  ]);
  assert.deepEqual(conditions({ localTraffic: { mode: "none" } }), []);
  assert.deepEqual(conditions({ localTraffic: { mode: "none" }, masqueradeAll: true }), [
    "KUBE-SVC: -d 10.96.0.10/32",
  ]);
});

Deno.test("node ports on loopback addresses are counted only if they are served and counters exist", () => {
  const plan = planOf({ nodePort: 30080 });
  const counted = (localhostNodePorts: boolean, nfacct: boolean) =>
    linesOf(plan, { settings: settingsOf("IPv4", { localhostNodePorts }), nfacct })
      .filter((line) => line.includes("nfacct")).length;
  assert.deepEqual([counted(true, true), counted(true, false), counted(false, true)], [1, 0, 0]);
});

Deno.test("an endpoint has one chain, whether it is in one list of endpoints or in both", () => {
  const plan = {
    ...planOf({ nodePort: 30080, external: "local", endpoints: ["10.1.0.2:80@here", "10.2.0.1:80"] }),
    localEndpoints: planOf({ endpoints: ["10.1.0.1:80@here", "10.1.0.2:80@here"] }).clusterEndpoints,
  };
  const sent = linesOf(plan).flatMap((line) => /--to-destination (\S+)/.exec(line)?.[1] ?? []);
  assert.deepEqual(sent.sort(), ["10.1.0.1:80", "10.1.0.2:80", "10.2.0.1:80"]);
});

Deno.test("a chain comes after the chains that it jumps to", () => {
  const plan = planOf({
    clusterIP: "10.96.0.10:80",
    loadBalancerIPs: ["203.0.113.1:80"],
    internal: "local",
    external: "local",
    sourceRanges: ["192.0.2.0/24"],
    endpoints: ["10.1.0.1:80@here", "10.2.0.1:80"],
  });
  const known = new Set(["KUBE-MARK-MASQ"]);
  for (const { name, rules } of compile(plan, { ...withLocalhost, isLarge: false }).chains) {
    for (const { target } of rules) {
      if (target?.target === "jump") assert.ok(known.has(target.chain), target.chain);
    }
    known.add(name);
  }
  assert.equal(known.size, 1 + 2 + 4);
});

function listing(text: string): readonly string[] {
  return text.trim().split("\n").map((line) => line.trim());
}
