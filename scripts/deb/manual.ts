// Prints the manual page proxy(8) in roff, made from the table of flags.
//   deno run scripts/deb/manual.ts
import { modes } from "../../backends/registry.ts";
import type { Command } from "../../core/commands/command.ts";
import { usage } from "../../core/commands/find_command.ts";
import { commands } from "../../core/commands/table.ts";
import type { Flag } from "../../core/config/flags/flag.ts";
import { flagGroups } from "../../core/config/flags/table.ts";
import { VERSION } from "../../core/version.ts";

/** The page as roff. */
export function manualPage(): string {
  return [
    `.TH PROXY 8 "" "proxy ${VERSION}" "System administration"`,
    ".SH NAME",
    "proxy \\- service proxy for Kubernetes nodes, a replacement for kube\\-proxy",
    ".SH SYNOPSIS",
    ...["[flags]", "--cleanup", ...commands.map(usage)]
      .flatMap((line, index) => [...(index === 0 ? [] : [".br"]), `.B proxy\n${roff(line)}`]),
    ".SH DESCRIPTION",
    ...paragraph(
      "Forwards connections to Kubernetes Services to one of their endpoints, on the node it runs on. Accepts the " +
        "flags and the configuration file of kube-proxy. The rules stay in force when the process ends; " +
        "proxy --cleanup removes them.",
    ),
    ".SH COMMANDS",
    ...commands.flatMap(commandEntry),
    ".SH OPTIONS",
    ...flagGroups(modes).flatMap(({ title, flags }) => [`.SS ${roff(title)}`, ...flagEntries(flags)]),
    ".SH SIGNALS",
    ...entry("SIGHUP", "Reads everything again from the API server or the manifests."),
    ...entry(
      "SIGTERM, SIGINT",
      "End the process. The rules stay in force. In mode userspace, Services answer only while a proxy runs.",
    ),
    ".SH FILES",
    ...entry("/etc/proxy/config.conf", "The configuration that the systemd unit uses."),
    ...entry(
      "/etc/proxy/kubeconfig",
      "Address of the API server and the credentials. The unit starts when it exists.",
    ),
    ...entry("/etc/default/proxy", "Flags that the systemd unit adds."),
    ...entry(
      "/usr/share/proxy/systemd/ebpf.conf",
      "Additional rights for mode ebpf, as a drop-in of the unit.",
    ),
    ...entry(
      "/usr/share/proxy/systemd/userspace.conf",
      "The right to send ICMP errors in mode userspace, as a drop-in of the unit.",
    ),
    ".SH EXIT STATUS",
    "0 if the process did what was asked or was told to stop, 1 otherwise. Commands:",
    ...commands.flatMap(({ name, exitCodes }) =>
      entry(name, Object.entries(exitCodes).map(([code, meaning]) => `${code}: ${meaning}.`).join(" "))
    ),
    ".SH SEE ALSO",
    ".BR nft (8),",
    ".BR systemctl (1)",
    "",
  ].join("\n");
}

/** A command, and below it its own flags. */
function commandEntry({ name, summary, description, flags }: Command): string[] {
  const text = [sentence(summary), ...description].join(" ");
  const own = Object.keys(flags).length === 0 ? [] : [".RS", ...flagEntries(flags), ".RE"];
  return [...entry(name, text), ...own];
}

function flagEntries(flags: Readonly<Record<string, Flag>>): string[] {
  return Object.entries(flags).filter(([, { deprecated }]) => deprecated === undefined).flatMap(
    ([name, flag]) => {
      const { type, shorthand, valueIfBare, help, default: value } = flag;
      const long = shorthand === name ? `-${name}` : `--${name}`;
      const names = shorthand === undefined || shorthand === name ? [long] : [`-${shorthand}`, long];
      const argument = type === "bool"
        ? ""
        : valueIfBare === undefined
        ? ` \\fI${type}\\fR`
        : `[=\\fI${type}\\fR]`;
      const shown = value === false || value === "" || typeof value === "object" ? "" : ` Default: ${value}.`;
      const text = (typeof help === "string" ? help : help(modes)) + shown;
      return [".TP", names.map((one) => `\\fB${roff(one)}\\fR`).join(", ") + argument, ...paragraph(text)];
    },
  );
}

function entry(name: string, text: string): string[] {
  return [".TP", `.B ${roff(name)}`, ...paragraph(text)];
}

/** One sentence per line, as roff likes it. */
function paragraph(text: string): string[] {
  return roff(text).split(/(?<=\.) /);
}

function sentence(text: string): string {
  return `${text[0]?.toUpperCase()}${text.slice(1)}.`;
}

/** Escapes what roff would take for a command, a hyphen or a quotation mark. A line must not begin with a dot. */
function roff(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll("'", "\\(aq").replace(/^\./, "\\&.");
}

if (import.meta.main) await Deno.stdout.write(new TextEncoder().encode(manualPage()));
