import assert from "node:assert/strict";
import { HostsFile } from "../../../../backends/userspace/listening/hosts_file.ts";

const web = { address: "127.64.0.10", names: ["web.default.svc", "web.default"] };
const other = { address: "127.64.0.11", names: ["other.default.svc", "other.default"] };

/** Runs the test in a directory of its own, and checks that it leaves nothing but these files. */
function withDirectory(test: (directory: string) => void, left: readonly string[] = []): void {
  const directory = Deno.makeTempDirSync({ prefix: "hosts-" });
  try {
    test(directory);
    assert.deepEqual([...Deno.readDirSync(directory)].map(({ name }) => name), left);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

Deno.test("the hosts file has a line per Service, everybody can read it, and it is removed at the end", () => {
  withDirectory((directory) => {
    using file = new HostsFile(`${directory}/hosts`);
    file.write([web, other]);
    const [comment, ...lines] = Deno.readTextFileSync(file.path).trimEnd().split("\n");
    assert.match(comment ?? "", /^# .*written by proxy/);
    assert.deepEqual(lines, [
      "127.64.0.10\tweb.default.svc web.default",
      "127.64.0.11\tother.default.svc other.default",
    ]);
    assert.equal(Deno.statSync(file.path).mode! & 0o777, 0o644);
    file.write([other]);
    assert.doesNotMatch(Deno.readTextFileSync(file.path), /web/);
  });
});

Deno.test("a reader that has opened the hosts file reads it to its end, whatever is written meanwhile", () => {
  withDirectory((directory) => {
    using file = new HostsFile(`${directory}/hosts`);
    file.write([web]);
    using opened = Deno.openSync(file.path);
    file.write([other]);
    const bytes = new Uint8Array(1000);
    assert.match(new TextDecoder().decode(bytes.subarray(0, opened.readSync(bytes)!)), /web\.default/);
  });
});

Deno.test("the hosts file of an earlier process is replaced, and that of the next one stays", () => {
  withDirectory((directory) => {
    const path = `${directory}/hosts`;
    const killed = new HostsFile(path);
    killed.write([web]);
    using next = new HostsFile(path);
    next.write([other]);
    killed[Symbol.dispose]();
    assert.match(Deno.readTextFileSync(path), /other\.default/);
  });
});

Deno.test("a file that another program has made is never replaced, and the error says what to do", () => {
  withDirectory((directory) => {
    const path = `${directory}/hosts`;
    Deno.writeTextFileSync(path, "127.0.0.1 localhost\n");
    using file = new HostsFile(path);
    const expected =
      /cannot write the hosts file .*\/hosts: the file exists, and proxy has not written it\. Give/;
    const { found, severity, detail } = file.requirement();
    assert.deepEqual([found, severity], [false, "required"]);
    assert.match(detail, expected);
    assert.throws(() => file.write([web]), expected);
    assert.equal(Deno.readTextFileSync(path), "127.0.0.1 localhost\n");
  }, ["hosts"]);
});

Deno.test("a directory that does not exist is an error before the start, and one that does is tried", () => {
  withDirectory((directory) => {
    const missing = new HostsFile(`${directory}/missing/hosts`).requirement();
    assert.match(`${missing.found} ${missing.detail}`, /^false cannot write .*missing\/hosts: No such file/);
    assert.equal(new HostsFile(`${directory}/hosts`).requirement().found, true);
  });
});

Deno.test("a name that is not one of DNS gets no line", () => {
  withDirectory((directory) => {
    using file = new HostsFile(`${directory}/hosts`);
    file.write([{ address: "127.64.0.10", names: ["web\n127.0.0.1 bank.example", ""] }]);
    assert.equal(Deno.readTextFileSync(file.path).split("\n").length, 2);
  });
});
