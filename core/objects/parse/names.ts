import { InvalidField, type Mapping, show, text } from "./fields.ts";

/**
 * Validates names. They end up in log lines, keys and comments of kernel objects, so they are validated
 * although the API server has done so: no valid name contains a slash, a colon, a space or a control
 * character.
 */

/**
 * DNS-1123 subdomain, the name of most objects. Kubernetes' stricter rules for some kinds are subsets of it.
 */
const OBJECT_NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const MAX_OBJECT_NAME = 253;

export function isObjectName(name: string): boolean {
  return name.length <= MAX_OBJECT_NAME && OBJECT_NAME.test(name);
}

/** Returns the name under `key`, which is required. */
export function readObjectName(from: Mapping, key: string): string {
  const name = text(from, key);
  if (name === "") throw new InvalidField(key, "missing");
  if (isObjectName(name)) return name;
  throw new InvalidField(
    key,
    `${show(name)} is not a name; use at most ${MAX_OBJECT_NAME} lower-case letters, digits, "-" and "."`,
  );
}

/** DNS-1123 label. */
const PORT_NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const MAX_PORT_NAME = 63;

/** Returns the name of a port under `key`; "" when absent. */
export function readPortName(from: Mapping, key: string): string {
  const name = text(from, key);
  if (name === "" || (name.length <= MAX_PORT_NAME && PORT_NAME.test(name))) return name;
  throw new InvalidField(
    key,
    `${show(name)} is not a port name; use at most ${MAX_PORT_NAME} lower-case letters, digits and "-"`,
  );
}

/** The syntax of label values, which names of zones and nodes follow. */
const LABEL_VALUE = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/;

/** Returns the name of a node or zone under `key`; "" when absent. */
export function readTopologyName(from: Mapping, key: string): string {
  const name = text(from, key);
  if (name === "" || isTopologyName(name)) return name;
  throw new InvalidField(key, `${show(name)} is not the name of a node or zone`);
}

/** Reports whether a text can be the name of a node or zone. */
export function isTopologyName(name: string): boolean {
  return name.length <= MAX_OBJECT_NAME && LABEL_VALUE.test(name);
}
