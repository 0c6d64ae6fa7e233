import assert from "node:assert/strict";
import { slowness } from "../../lab/pace.ts";

/** Time for a command of the browser. */
const PATIENCE_MS = 30_000 * slowness;

type Parameters = Readonly<Record<string, unknown>>;

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Record<string, unknown>;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
}

/**
 * Chromium without a window, in a network namespace, with one page. Driven by the DevTools protocol over a pair of pipes,
 * because a port in the namespace cannot be reached from here.
 */
export class Browser implements AsyncDisposable {
  /** Messages of the console above "info", uncaught errors and violations of the page's security policy. */
  readonly complaints: string[] = [];
  readonly #process: Deno.ChildProcess;
  readonly #input: Deno.FsFile;
  readonly #output: Deno.FsFile;
  readonly #directory: string;
  readonly #waiting = new Map<number, (message: Message) => void>();
  #session = "";
  #lastId = 0;

  private constructor(
    process: Deno.ChildProcess,
    input: Deno.FsFile,
    output: Deno.FsFile,
    directory: string,
  ) {
    this.#process = process;
    this.#input = input;
    this.#output = output;
    this.#directory = directory;
    void this.#read();
  }

  static async start(namespace: string): Promise<Browser> {
    const directory = Deno.makeTempDirSync({ prefix: "browser-" });
    const [input, output] = [`${directory}/in`, `${directory}/out`];
    for (const pipe of [input, output]) {
      const { success } = await new Deno.Command("mkfifo", { args: [pipe] }).output();
      assert.ok(success, "mkfifo failed");
    }
    const flags = [
      "--headless",
      // Root cannot have a sandbox. The page is ours.
      "--no-sandbox",
      "--disable-gpu",
      "--hide-scrollbars",
      "--disable-dev-shm-usage",
      "--no-first-run",
      "--no-proxy-server",
      "--disable-background-networking",
      "--remote-debugging-pipe",
      `--user-data-dir=${directory}/profile`,
    ];
    const script = 'exec ip netns exec "$2" chromium "${@:3}" 3<"$0" 4>"$1"';
    const process = new Deno.Command("bash", {
      args: ["-c", script, input, output, namespace, ...flags],
      env: { HOME: directory, DBUS_SESSION_BUS_ADDRESS: "disabled:" },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const browser = new Browser(
      process,
      await Deno.open(input, { write: true }),
      await Deno.open(output, { read: true }),
      directory,
    );
    const { targetId } = await browser.#send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await browser.#send("Target.attachToTarget", { targetId, flatten: true });
    browser.#session = String(sessionId);
    for (const domain of ["Page", "Runtime", "Log", "Audits"]) await browser.#send(`${domain}.enable`);
    return browser;
  }

  async open(url: string): Promise<void> {
    const { errorText } = await this.#send("Page.navigate", { url });
    assert.equal(errorText, undefined, `${url}: ${errorText}`);
  }

  /** @returns the value of a JavaScript expression in the page. */
  async value<Value>(expression: string): Promise<Value> {
    const parameters = { expression, returnByValue: true, awaitPromise: true };
    const { result, exceptionDetails } = await this.#send("Runtime.evaluate", parameters);
    assert.equal(exceptionDetails, undefined, `${expression}: ${JSON.stringify(exceptionDetails)}`);
    return (result as { readonly value: Value }).value;
  }

  /** Waits until an expression is true in the page. */
  async until(expression: string): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while (!await this.value<boolean>(`Boolean(${expression})`)) {
      const text = await this.value<string>("document.body.innerText");
      assert.ok(performance.now() < deadline, `not true: ${expression}; the page shows\n${text}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Types into the element that has the focus. */
  async type(text: string): Promise<void> {
    await this.#send("Input.insertText", { text });
  }

  async press(key: string, code: number): Promise<void> {
    const event = { key, code: key, windowsVirtualKeyCode: code, ...key === "Enter" ? { text: "\r" } : {} };
    await this.#send("Input.dispatchKeyEvent", { type: "keyDown", ...event });
    await this.#send("Input.dispatchKeyEvent", { type: "keyUp", ...event });
  }

  /** Sets the size of the window and the preferred colours. */
  async look({ width, height, dark, scale = 1 }: Look): Promise<void> {
    const mobile = width < 600;
    await this.#send("Emulation.setDeviceMetricsOverride", {
      width,
      height,
      deviceScaleFactor: scale,
      mobile,
    });
    const features = [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }];
    await this.#send("Emulation.setEmulatedMedia", { features });
  }

  /** @returns the visible part of the page as PNG. */
  async screenshot(): Promise<Uint8Array<ArrayBuffer>> {
    const { data } = await this.#send("Page.captureScreenshot", { format: "png" });
    return Uint8Array.fromBase64(String(data));
  }

  async #send(method: string, params: Parameters = {}): Promise<Record<string, unknown>> {
    const id = ++this.#lastId;
    const answer = Promise.withResolvers<Message>();
    this.#waiting.set(id, answer.resolve);
    const sessionId = this.#session === "" ? {} : { sessionId: this.#session };
    const bytes = new TextEncoder().encode(`${JSON.stringify({ id, method, params, ...sessionId })}\0`);
    for (let at = 0; at < bytes.length;) at += await this.#input.write(bytes.subarray(at));
    const late = setTimeout(
      () => answer.reject(new Error(`no answer of the browser to ${method}`)),
      PATIENCE_MS,
    );
    const { result, error } = await answer.promise.finally(() => clearTimeout(late));
    assert.equal(error, undefined, `${method}: ${error?.message}`);
    return result ?? {};
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const bytes of this.#output.readable) {
      const messages = (rest + decoder.decode(bytes, { stream: true })).split("\0");
      rest = messages.pop() ?? "";
      for (const message of messages) this.#receive(JSON.parse(message));
    }
  }

  #receive(message: Message): void {
    const { id, method, params = {} } = message;
    if (id !== undefined) this.#waiting.get(id)?.(message);
    const isComplaint = method === "Runtime.exceptionThrown" ||
      // The browser notes every change of the address without a gesture.
      (method === "Audits.issueAdded" &&
        !JSON.stringify(params).includes("NavigationEntryMarkedSkippable")) ||
      (method === "Log.entryAdded" && !/"level":"(info|verbose)"/.test(JSON.stringify(params))) ||
      (method === "Runtime.consoleAPICalled" && /^(error|warning|assert)$/.test(String(params.type)));
    if (isComplaint) this.complaints.push(`${method}: ${JSON.stringify(params).slice(0, 800)}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#send("Browser.close").catch(() => this.#process.kill("SIGKILL"));
    await this.#process.status;
    this.#input.close();
    await Deno.remove(this.#directory, { recursive: true });
  }
}

export interface Look {
  /** In CSS pixels. */
  readonly width: number;
  readonly height: number;
  readonly dark: boolean;
  /** Pixels of the picture per CSS pixel. */
  readonly scale?: number;
}
