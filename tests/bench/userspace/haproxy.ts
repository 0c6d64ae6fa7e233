/** More than any measurement needs. Each takes two descriptors, of which a process may have as few as 20,000. */
const MAX_PIPES = 400;

/**
 * Configuration of HAProxy in TCP mode.
 * @param listeners port of each listener and the server that it connects to
 * @param maxConnections of all listeners. HAProxy allocates memory for them as they come.
 */
export function haproxyConfiguration(
  listeners: readonly {
    readonly port: number;
    readonly server: string;
    readonly splice: boolean;
  }[],
  maxConnections: number,
): string {
  const sections = listeners.map(({ port, server, splice }) =>
    `listen port-${port}
  bind :${port}
  ${splice ? "option splice-auto" : ""}
  server server ${server}`
  );
  return `global
  maxconn ${maxConnections}
  maxpipes ${MAX_PIPES}
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
${sections.join("\n")}
`;
}
