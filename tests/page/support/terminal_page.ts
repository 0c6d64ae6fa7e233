/** Colours by the parameter of "select graphic rendition" (ECMA-48 §8.3.117). */
const COLOURS: Readonly<Record<string, string>> = {
  "1": "font-weight:600",
  "2": "color:#8b96a5",
  "31": "color:#ff8f86",
  "32": "color:#6fd08f",
  "33": "color:#f0bd5b",
  "36": "color:#7fd3e0",
};

// deno-lint-ignore no-control-regex
const ESCAPE = /(\x1b\[[\d;]*m)/;

/** Makes a page that shows the last screen of a command, as a data URL. */
export function terminalPage(command: string, output: string): string {
  const [screen = ""] = output.split("\x1b[2J").slice(-1);
  const lines = screen.replaceAll("\r", "").replace(/\^C/g, "").trimEnd();
  const body = lines.split(ESCAPE).map((part) => {
    if (!part.startsWith("\x1b[")) return escaped(part);
    const parameter = part.slice(2, -1);
    const style = COLOURS[parameter];
    return style === undefined ? "</span>" : `<span style="${style}">`;
  }).join("");
  const html =
    `<meta charset="utf-8"><body style="margin:0;padding:18px 22px;background:#11151b;color:#e4e8ee">` +
    `<pre style="margin:0;font:14px/1.5 'DejaVu Sans Mono',monospace;white-space:pre-wrap">` +
    `<span style="color:#8b96a5">$ ${escaped(command)}</span>\n${body}</pre>`;
  return `data:text/html;charset=utf-8,${encodeURIComponent(html)}`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
