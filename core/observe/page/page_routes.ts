import { embeddedFile } from "../../../ffi/libraries/library.ts";
import { refuseToWrite } from "../http/api_routes.ts";
import type { Route } from "../http/server.ts";
import { text } from "../http/text.ts";

/** Files of the page (folder page/), by their path. */
const FILES = {
  "/": { name: "page.html", type: "text/html; charset=utf-8" },
  "/page.css": { name: "page.css", type: "text/css; charset=utf-8" },
  "/page.js": { name: "page.js", type: "text/javascript; charset=utf-8" },
  "/page.svg": { name: "page.svg", type: "image/svg+xml" },
} as const;

/** The page loads nothing from elsewhere, runs no inline script, sends no form, and no other page can frame it. */
const SECURITY_HEADERS = {
  "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "cache-control": "no-cache",
};

/**
 * Routes of the page for people. It is part of the built binary.
 * @param read returns a file of the page; the seam for tests.
 */
export function pageRoutes(read: typeof embeddedFile = embeddedFile): Readonly<Record<string, Route>> {
  return Object.fromEntries(
    Object.entries(FILES).map(([path, { name, type }]): [string, Route] => [path, (request) => {
      const refusal = refuseToWrite(request);
      if (refusal !== undefined) return refusal;
      const body = read(name);
      if (body === undefined) return text("The page is part of the built binary: scripts/build.sh\n", 404);
      return new Response(body, { headers: { ...SECURITY_HEADERS, "content-type": type } });
    }]),
  );
}
