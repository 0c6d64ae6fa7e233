import assert from "node:assert/strict";
import { Node } from "../integration/cli/support/node.ts";
import { reachable, service, slice } from "../integration/cli/support/objects.ts";
import { Browser } from "./support/browser.ts";

const url = "http://127.0.0.1:10249/";
const desktop = { width: 1280, height: 900, dark: false };

/** Texts of the first cells of the table. */
const NAMES = `[...document.querySelectorAll("#table tbody th")].map((cell) => cell.textContent)`;

Deno.test("the page shows services, opens one and searches, without a complaint of the browser", async (t) => {
  await using node = await Node.make();
  await node.write("web.json", reachable("web", "10.96.0.10"));
  await node.write("empty.json", [service("empty", "10.96.0.11"), slice("empty", [])]);
  await using proxy = node.start();
  await proxy.inForce();
  await using browser = await Browser.start(node.namespace.name);
  await browser.look(desktop);
  await browser.open(url);

  await t.step("health, facts and all services", async () => {
    await browser.until(`${NAMES}.length === 2`);
    assert.deepEqual(await browser.value(NAMES), ["default/empty", "default/web"]);
    assert.equal(await browser.value("document.querySelector('#health').textContent"), "healthy");
    assert.match(await browser.value("document.querySelector('#identity').textContent"), /^nftables on here/);
    assert.equal(await browser.value("document.querySelectorAll('#plots canvas').length"), 3);
    assert.equal(
      await browser.value("document.querySelector('#events li').textContent.includes('start')"),
      true,
    );
  });
  await t.step("the search is reached by a key and finds by every word", async () => {
    await browser.press("/", 191);
    await browser.type("10.96.0.11 no");
    await browser.until(`${NAMES}.join() === "default/empty"`);
    await browser.value("document.querySelector('#search').value = ''");
    await browser.type(" ");
    await browser.until(`${NAMES}.length === 2`);
  });
  await t.step("a service opens by keyboard as a picture, and closes", async () => {
    await browser.value("document.querySelectorAll('#table tbody button')[1].focus()");
    await browser.press("Enter", 13);
    await browser.until("document.querySelector('#service svg')");
    const picture = await browser.value<string>("document.querySelector('#service svg').textContent");
    assert.match(picture, /pods and the node.*10\.96\.0\.10:80\/TCP.*Cluster.*10\.244\.1\.11:8080/);
    await browser.press("Escape", 27);
    await browser.until("document.querySelector('#service').hidden");
  });
  await t.step("a question is answered, and one that is none says what to write", async () => {
    const answered = (text: string) =>
      browser.until(`document.querySelector("#answer").textContent.includes(${JSON.stringify(text)})`);
    await browser.value("document.querySelector('#question').focus()");
    await browser.type("default/empty");
    await browser.press("Enter", 13);
    await answered("Its EndpointSlices list no endpoint, so connections are rejected.");
    await browser.value("document.querySelector('#question').value = ''");
    await browser.type("<b>");
    await browser.press("Enter", 13);
    await answered(`"<b>" is neither a service nor an address: write NAMESPACE/SERVICE`);
  });
  await t.step("a change of the cluster appears by itself", async () => {
    await node.write("more.json", reachable("more", "10.96.0.12"));
    await browser.until(`${NAMES}.length === 3`);
  });
  await t.step("nothing is wider than a phone", async () => {
    await browser.look({ width: 360, height: 740, dark: true });
    await browser.until("document.documentElement.scrollWidth <= 360");
    const ground = await browser.value("getComputedStyle(document.documentElement).backgroundColor");
    assert.equal(ground, "rgb(17, 21, 27)");
  });
  // The browser reports the answer 400 to the question that is none.
  assert.deepEqual(browser.complaints.filter((complaint) => !/status of 400/.test(complaint)), []);
  await t.step("a proxy that has ended is reported", async () => {
    await proxy.end();
    await browser.until("!document.querySelector('#trouble').hidden");
  });
});

Deno.test("hostile texts are shown as texts", async () => {
  await using node = await Node.make();
  const hostile = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`;
  await node.write("web.json", reachable("web", "10.96.0.10"));
  await using proxy = node.start();
  await proxy.inForce();
  await node.write(`${"&lt;".repeat(3)}.json`, [service(hostile, "10.96.0.11")]);
  await proxy.logs(/onerror/);
  await using browser = await Browser.start(node.namespace.name);
  await browser.look(desktop);
  await browser.open(`${url}#service=${encodeURIComponent(hostile)}`);
  await browser.until("document.querySelector('#service-title')?.textContent.includes('onerror')");
  await browser.until("document.querySelector('#events').textContent.includes('onerror')");
  assert.equal(await browser.value("document.querySelectorAll('img, body script').length"), 0);
  assert.equal(await browser.value("document.title"), "proxy on here");
  // The browser reports the answer 404 about the service that does not exist.
  const others = browser.complaints.filter((complaint) => !/status of 404/.test(complaint));
  assert.deepEqual(others, []);
  // The policy of the page stops a script that got in all the same, and the browser says so.
  await browser.value(
    "document.body.append(Object.assign(document.createElement('script'), { text: 'document.title = 1' }))",
  );
  await browser.until("true");
  assert.equal(await browser.value("document.title"), "proxy on here");
  assert.ok(browser.complaints.some((complaint) => /Content.Security.Policy/i.test(complaint)));
});

Deno.test("--status-page=false serves no page, but the API", async () => {
  await using node = await Node.make();
  await using proxy = node.start("--status-page=false");
  await proxy.inForce();
  const status = async (path: string) =>
    await node.namespace.run(
      ...["curl", "--silent", "--noproxy", "*", "--output", "/dev/null", "--write-out", "%{http_code}"],
      `http://127.0.0.1:10249${path}`,
    );
  assert.deepEqual(await Promise.all(["/", "/page.js", "/api/v1/status"].map(status)), ["404", "404", "200"]);
});
