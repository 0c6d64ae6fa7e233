import { readBlockingFile } from "../../../../ffi/files/blocking_file.ts";
import { openssl } from "../../../../ffi/libraries/libssl.ts";

// Opens the libraries of the API source before the first test. They stay open for the life of the process, so the test that
// opened one would count as leaking it.
openssl();
await readBlockingFile("/dev/null");
