import { proxyBinary } from "../lab/proxy.ts";
import { Node } from "../integration/cli/support/node.ts";
import { Browser, type Look } from "./support/browser.ts";
import { shop } from "./support/shop.ts";
import { terminalPage } from "./support/terminal_page.ts";

// Makes the pictures of docs/images: a proxy with a small shop, with traffic and changes, in a namespace of its own.
// scripts/screenshots.sh runs it.
//   screenshots.ts DIRECTORY [SECONDS of traffic and changes before the pictures [PICTURE…]]

const [directory = ".", seconds = "200", ...wanted] = Deno.args;
const isWanted = (name: string) => wanted.length === 0 || wanted.includes(name);
const url = "http://127.0.0.1:10249/";

/** Opens UDP and TCP flows to services at rates that rise and fall. Nobody answers: the first packet counts. */
const TRAFFIC = `
import math, random, socket, time
services = [("10.96.10.20", 53, 30), ("10.96.12.34", 80, 55), ("10.96.13.41", 8443, 12), ("10.96.14.48", 8080, 20),
  ("10.96.15.55", 8080, 38), ("10.96.16.62", 8443, 9), ("10.96.17.69", 8080, 3), ("10.96.18.76", 9200, 16),
  ("10.96.19.83", 6379, 25), ("10.96.20.90", 5432, 7), ("10.96.22.104", 9090, 2)]
start = time.time()
while True:
    for index, (address, port, rate) in enumerate(services):
        wave = 1 + 0.7 * math.sin((time.time() - start) / (6 + index) + index)
        for _ in range(int(rate * wave * random.uniform(0.7, 1.3) / 10 + random.random())):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if port == 53 else socket.SOCK_STREAM) as client:
                client.setblocking(False)
                try:
                    client.connect((address, port))
                    client.send(b"?")
                except OSError:
                    pass
    time.sleep(0.1)
`;

await using node = await Node.make();
const cluster = [...node.source, ...node.identity].join(" ");
await node.namespace.run("ip", "link", "add", "pods", "type", "veth", "peer", "name", "elsewhere");
await node.namespace.run("ip", "address", "add", "192.0.2.10/24", "dev", "pods");
for (const device of ["elsewhere", "pods"]) await node.namespace.run("ip", "link", "set", device, "up");
await node.namespace.run("ip", "route", "add", "10.0.0.0/8", "dev", "pods");
await node.write("shop.json", shop(0));
await node.namespace.run(
  "sysctl",
  "--quiet",
  "--write",
  "net.ipv4.ip_forward=1",
  "net.ipv6.conf.all.forwarding=0",
);
// Before the proxy starts, whose ports would be in use.
const checked = await outputOf(`check --proxy-mode nftables ${cluster}`);
await node.namespace.run("sysctl", "--quiet", "--write", "net.ipv6.conf.all.forwarding=1");
await using proxy = node.start();
await proxy.inForce();
const traffic = node.spawn(["python3", "-c", TRAFFIC]);
try {
  const end = performance.now() + Number(seconds) * 1000;
  for (let change = 1; performance.now() < end; change++) {
    await pause(800 + 2500 * Math.random());
    await node.write("shop.json", shop(change));
    if (change === 9) await node.namespace.run("nft", "flush", "ruleset");
  }
  await using browser = await Browser.start(node.namespace.name);
  const take = async (name: string, look: Look, hash: string, top: string) => {
    if (!isWanted(name)) return;
    await browser.look(look);
    await browser.open("about:blank");
    await browser.open(`${url}${hash}`);
    // Sparklines need some readings.
    await pause(24_000);
    await browser.value(`document.querySelector(${JSON.stringify(top)}).scrollIntoView()`);
    await pause(300);
    await Deno.writeFile(`${directory}/${name}.png`, await browser.screenshot());
  };
  const takeTerminal = async (
    name: string,
    size: Pick<Look, "width" | "height">,
    line: string,
    output: string,
  ) => {
    await browser.look({ ...size, dark: true });
    await browser.open(terminalPage(line, output));
    await pause(500);
    await Deno.writeFile(`${directory}/${name}.png`, await browser.screenshot());
  };
  await take("page", { width: 1240, height: 1010, dark: false }, "", "body");
  await take("page-service", { width: 1240, height: 560, dark: true }, "#service=shop/checkout", "#service");
  await take("page-phone", { width: 390, height: 844, dark: true }, "", "#services");
  if (isWanted("status")) {
    const output = await outputOf("status --watch", 41);
    await takeTerminal("status", { width: 980, height: 510 }, "proxy status --watch", output);
  }
  if (isWanted("explain")) {
    const output = await outputOf(`explain shop/recommendations ${cluster}`);
    await takeTerminal("explain", { width: 1040, height: 200 }, "proxy explain shop/recommendations", output);
  }
  if (isWanted("check")) {
    await takeTerminal("check", { width: 1240, height: 625 }, "proxy check --proxy-mode nftables", checked);
  }
} finally {
  traffic.kill("SIGKILL");
  await Promise.all([traffic.status, traffic.stdout.cancel(), traffic.stderr.cancel()]);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Runs a command of the proxy in a terminal of the node, and returns what it shows.
 * @param seconds after which it is interrupted.
 */
async function outputOf(args: string, seconds = 20): Promise<string> {
  return await node.namespace.run(
    ...["script", "--quiet", "--command"],
    `COLUMNS=200 TERM=xterm timeout --signal=INT ${seconds} ${proxyBinary} ${args}`,
    "/dev/null",
  );
}
