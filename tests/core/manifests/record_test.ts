import { deepEqual, equal, match } from "node:assert/strict";
import { forgetRecords, ManifestRecord } from "../../../core/manifests/record.ts";
import { RecordingLog } from "../observe/log/recording_log.ts";

function withFolder(test: (folder: string) => void): void {
  const parent = Deno.makeTempDirSync({ prefix: "record-" });
  try {
    test(`${parent}/folder`);
  } finally {
    Deno.removeSync(parent, { recursive: true });
  }
}

const files: [string, string[]][] = [["a.yaml", ["Service default/web", "Service default/api"]], [
  "b.yaml",
  [],
]];

Deno.test("a record is read back for its directory, until it is forgotten", () => {
  withFolder((folder) => {
    const log = new RecordingLog();
    const recordOf = (directory: string) => new ManifestRecord(directory, folder, log);
    deepEqual(recordOf("/etc/a").read(), new Map());
    recordOf("/etc/a").write(files);
    deepEqual(recordOf("/etc/a").read(), new Map(files));
    deepEqual(recordOf("/etc/b").read(), new Map());
    forgetRecords(folder);
    deepEqual(recordOf("/etc/a").read(), new Map());
    forgetRecords(`${folder}/missing`);
    deepEqual(log.lines, []);
  });
});

Deno.test("a record of an earlier boot or of another network namespace does not count, and stays", () => {
  withFolder((folder) => {
    const record = new ManifestRecord("/etc/a", folder, new RecordingLog());
    record.write(files);
    const [{ name }] = [...Deno.readDirSync(folder)] as [Deno.DirEntry];
    const written = JSON.parse(Deno.readTextFileSync(`${folder}/${name}`));
    match(written.kernel, /^[0-9a-f-]{36} net:\[\d+\]$/);
    Deno.writeTextFileSync(`${folder}/${name}`, JSON.stringify({ ...written, kernel: `${written.kernel}0` }));
    deepEqual(record.read(), new Map());
    forgetRecords(folder);
    equal([...Deno.readDirSync(folder)].length, 1);
  });
});

Deno.test("a record that cannot be read or written is one warning", () => {
  withFolder((folder) => {
    Deno.writeTextFileSync(folder, "");
    const log = new RecordingLog();
    const record = new ManifestRecord("/etc/a", folder, log);
    deepEqual(record.read(), new Map());
    record.write(files);
    record.write(files);
    equal(log.lines.length, 1);
    match(
      log.lines[0] ?? "",
      /^warn: .*\/folder\/manifests-\w+\.json cannot be .*RuntimeDirectoryPreserve=yes/,
    );
  });
});
