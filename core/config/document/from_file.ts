import { UserError } from "../../user_error.ts";
import type { YamlDocument } from "../../yaml.ts";
import {
  API_VERSION,
  type ConfigDocument,
  defaultDocument,
  defaultServing,
  HEALTHZ_PORT,
  KIND,
  METRICS_PORT,
} from "./document.ts";
import { withPort } from "./listen_address.ts";

export interface FileDocument {
  readonly document: ConfigDocument;
  /** Mistakes that strict decoding rejects and lenient decoding ignores: unknown and duplicate fields. */
  readonly warnings: readonly string[];
}

/**
 * Reads a configuration file, YAML or JSON. Decoding is strict first and then lenient, as in kube-proxy
 * (docs/behaviour.md §9.2).
 * @throws UserError that names the file and the mistake.
 */
export async function documentFromFile(path: string, text: string): Promise<FileDocument> {
  const [{ decodeFirstYaml, YamlError }, v, { documentSchema }] = await Promise.all([
    import("../../yaml.ts"),
    import("valibot"),
    import("./schema.ts"),
  ]);
  let yaml: YamlDocument;
  try {
    yaml = decodeFirstYaml(text);
  } catch (error) {
    if (error instanceof YamlError) throw new UserError(`${path}:${error.line}: ${error.message}`);
    throw error;
  }
  const written = yaml.value;
  if (!isMap(written) || written["apiVersion"] !== API_VERSION || written["kind"] !== KIND) {
    throw new UserError(`${path}: not a ${KIND} of ${API_VERSION}`);
  }
  const result = v.safeParse(documentSchema, written);
  if (!result.success) {
    const [issue] = result.issues;
    throw new UserError(
      `${path}: ${v.getDotPath(issue) ?? KIND} ${JSON.stringify(issue.input)}: ${issue.message}`,
    );
  }
  const { apiVersion: _version, kind: _kind, ...document } = result.output;
  return {
    document: withServingAddresses(document),
    warnings: [
      ...unknownFields(written, result.output).map((field) => `unknown field ${field} is ignored`),
      ...yaml.duplicates.map(({ line }) => `line ${line}: duplicate field; the last value counts`),
    ],
  };
}

function withServingAddresses(document: ConfigDocument): ConfigDocument {
  const defaults = defaultServing(document.bindAddress);
  return {
    ...document,
    healthzBindAddress: withPort(document.healthzBindAddress, HEALTHZ_PORT) || defaults.healthzBindAddress,
    metricsBindAddress: withPort(document.metricsBindAddress, METRICS_PORT) || defaults.metricsBindAddress,
  };
}

/** Paths of the fields that were written but not read. Every known field has a default, so it is in `read`. */
function unknownFields(written: Record<string, unknown>, read: Record<string, unknown>, path = ""): string[] {
  return Object.entries(written).flatMap(([name, value]) => {
    if (!Object.hasOwn(read, name)) return [path + name];
    const known = read[name];
    return isMap(value) && isMap(known) ? unknownFields(value, known, `${path}${name}.`) : [];
  });
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Fields that kube-proxy does not have. */
const OWN_FIELDS = ["statusPage", "trafficMetrics", "trafficMetricsMaxServices"];

/**
 * Writes the document as a configuration file, with the fields in alphabetical order, as kube-proxy does. Quotes text
 * that YAML 1.1 or 1.2 would read as another type. Leaves out fields that kube-proxy does not have unless they differ
 * from their defaults, so that kube-proxy can read the file.
 */
export async function documentToYaml(document: ConfigDocument): Promise<string> {
  const { stringify } = await import("yaml");
  const defaults = new Map<string, unknown>(Object.entries(defaultDocument()));
  const fields = Object.entries(document).filter(([field, value]) =>
    !OWN_FIELDS.includes(field) || value !== defaults.get(field)
  );
  return stringify({ apiVersion: API_VERSION, kind: KIND, ...Object.fromEntries(fields) }, {
    sortMapEntries: true,
    compat: "yaml-1.1",
  });
}
