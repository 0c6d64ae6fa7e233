import assert from "node:assert/strict";
import { parseHead } from "../../../../core/observe/http/request.ts";
import { pageRoutes } from "../../../../core/observe/page/page_routes.ts";

const head = (method: string) => parseHead(`${method} / HTTP/1.1\r\nHost: x`);

Deno.test("the page may run its own script only, and nothing can frame it or write to it", async () => {
  const routes = pageRoutes((name) => new TextEncoder().encode(name));
  for (
    const [path, type] of [["/", "text/html"], ["/page.js", "text/javascript"], [
      "/page.css",
      "text/css",
    ]] as const
  ) {
    const response = await routes[path]?.(head("GET"));
    assert.ok(response);
    assert.match(response.headers.get("content-type") ?? "", new RegExp(`^${type}`));
    const policy = response.headers.get("content-security-policy") ?? "";
    assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self';/);
    assert.doesNotMatch(policy, /unsafe|\*|https?:/);
    assert.match(policy, /frame-ancestors 'none'/);
    assert.equal(response.headers.get("x-content-type-options"), "nosniff");
  }
  assert.equal((await routes["/"]?.(head("POST")))?.status, 405);
});

Deno.test("a program that runs from its sources says that it has no page", async () => {
  const response = await pageRoutes(() => undefined)["/"]?.(head("GET"));
  assert.equal(response?.status, 404);
  assert.match(await response.text(), /scripts\/build\.sh/);
});
