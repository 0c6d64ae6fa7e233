import assert from "node:assert/strict";
import { addIpvsFlags } from "../../../backends/ipvs/flags.ts";
import { ipvs } from "../../../backends/ipvs/mode.ts";
import { readIpvsOptions } from "../../../backends/ipvs/options.ts";
import { defaultDocument } from "../../../core/config/document/document.ts";
import { FieldReader } from "../../../core/config/document/field_reader.ts";
import { parseCommandLine } from "../../../core/config/flags/command_line.ts";
import { defaultOptions } from "./options.ts";

/** Reads the options from a command line. */
function optionsOf(...args: readonly string[]) {
  const { valuesOf } = parseCommandLine(args, [ipvs]);
  const document = addIpvsFlags(defaultDocument(), valuesOf);
  const conntrackTimeouts = {
    tcpEstablishedTimeoutMs: 0,
    tcpCloseWaitTimeoutMs: 0,
    udpTimeoutMs: 0,
    udpStreamTimeoutMs: 0,
  };
  const read = new FieldReader((field) => field);
  const options = readIpvsOptions({ document, valuesOf, conntrackTimeouts, read });
  read.finish();
  return options;
}

Deno.test("mode ipvs drops connections to Local policies without local endpoints unless --ipvs-local-fallback is set", () => {
  assert.deepEqual(optionsOf(), defaultOptions);
  assert.equal(optionsOf("--ipvs-local-fallback").localFallback, true);
});

Deno.test("address ranges and timeouts of mode ipvs are parsed, and mistakes name the field", () => {
  const options = optionsOf("--ipvs-tcp-timeout=15m", "--ipvs-exclude-cidrs=10.0.0.0/8,fd00::/8");
  assert.equal(options.tcpTimeoutMs, 900_000);
  assert.equal(options.excludeCidrs.length, 2);
  assert.throws(
    () => optionsOf("--ipvs-exclude-cidrs=nonsense"),
    /^UserError: ipvs\.excludeCIDRs "nonsense": must be/,
  );
});
