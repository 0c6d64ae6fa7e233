import { UserError } from "../../user_error.ts";
import {
  apiVersion,
  type ConfigDocument,
  defaultServing,
  HEALTHZ_PORT,
  kind,
  METRICS_PORT,
} from "./document.ts";
import { withPort } from "./listen_address.ts";

export interface FileDocument {
  readonly document: ConfigDocument;
  /** What strict reading refuses and lenient reading does without: unknown fields and fields written twice. */
  readonly oddities: readonly string[];
}

/**
 * Reads a configuration file, YAML or JSON: strictly, and where that fails leniently (docs/behaviour.md §9.2).
 * @throws UserError that names the file and what is wrong with it.
 */
export async function documentFromFile(path: string, text: string): Promise<FileDocument> {
  const [{ parseDocument }, v, { documentSchema }] = await Promise.all([
    import("yaml"),
    import("valibot"),
    import("./schema.ts"),
  ]);
  const yaml = parseDocument(text);
  const [syntaxError] = yaml.errors.filter(({ code }) => code !== "DUPLICATE_KEY");
  if (syntaxError !== undefined) throw new UserError(`${path}: ${syntaxError.message.trimEnd()}`);
  const written: unknown = yaml.toJS();
  if (!isMap(written) || written["apiVersion"] !== apiVersion || written["kind"] !== kind) {
    throw new UserError(`${path}: is not a ${kind} of ${apiVersion}`);
  }
  const result = v.safeParse(documentSchema, written);
  if (!result.success) {
    const [issue] = result.issues;
    throw new UserError(
      `${path}: ${v.getDotPath(issue) ?? kind} ${JSON.stringify(issue.input)}: ${issue.message}`,
    );
  }
  const { apiVersion: _version, kind: _kind, ...document } = result.output;
  return {
    document: withServingAddresses(document),
    oddities: [
      ...unknownFields(written, result.output).map((field) => `unknown field ${field} is ignored`),
      ...yaml.errors.map(({ linePos }) =>
        `line ${linePos?.[0].line}: a field is written twice; the last one counts`
      ),
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

/** Paths that were written and not read. Every known field is in what was read, because it has a default. */
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

/** The file that reads back as this document, as upstream writes it: fields in alphabetical order. */
export async function documentToYaml(document: ConfigDocument): Promise<string> {
  const { stringify } = await import("yaml");
  return stringify({ apiVersion, kind, ...document }, { sortMapEntries: true });
}
