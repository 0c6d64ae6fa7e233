import { InvalidField, type Mapping, show, text } from "./fields.ts";

/**
 * Which names the model accepts. They end up in log lines, keys and comments of kernel objects, so they are checked
 * although an API server has done so: none contains a slash, a colon, a space or a control character.
 */

/** DNS-1123 subdomain, the name of most objects. Upstream's stricter rules for some kinds are subsets of it. */
const objectName = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const LONGEST_OBJECT_NAME = 253;

export function isObjectName(name: string): boolean {
  return name.length <= LONGEST_OBJECT_NAME && objectName.test(name);
}

/** The name under `key`; it has to be there. */
export function readObjectName(from: Mapping, key: string): string {
  const name = text(from, key);
  if (name === "") throw new InvalidField(key, "missing");
  if (isObjectName(name)) return name;
  throw new InvalidField(
    key,
    `${show(name)} is not a name; use at most ${LONGEST_OBJECT_NAME} lower-case letters, digits, "-" and "."`,
  );
}

/** DNS-1123 label. */
const portName = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const LONGEST_PORT_NAME = 63;

/** The name of a port under `key`; "" when absent. */
export function readPortName(from: Mapping, key: string): string {
  const name = text(from, key);
  if (name === "" || (name.length <= LONGEST_PORT_NAME && portName.test(name))) return name;
  throw new InvalidField(
    key,
    `${show(name)} is not a port name; use at most ${LONGEST_PORT_NAME} lower-case letters, digits and "-"`,
  );
}

/** The value of a label, which zones and nodes are named by. */
const labelValue = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/;

/** The name of a node or zone under `key`; "" when absent. */
export function readTopologyName(from: Mapping, key: string): string {
  const name = text(from, key);
  if (name === "" || (name.length <= LONGEST_OBJECT_NAME && labelValue.test(name))) return name;
  throw new InvalidField(key, `${show(name)} is not the name of a node or zone`);
}
