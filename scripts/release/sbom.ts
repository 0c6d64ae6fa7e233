import { basename } from "node:path/posix";

// Writes the bill of materials of a binary, in SPDX 2.3 as JSON:
//   deno run --allow-read --allow-env scripts/release/sbom.ts BINARY SOURCES BUNDLE CREATED
// SOURCES is the list that scripts/build.sh writes beside the binary, BUNDLE the program that is embedded, and CREATED
// the time of the document.

/** A part of the binary. */
export interface Part {
  readonly name: string;
  readonly version: string;
  /** SPDX expression. */
  readonly license: string;
  /** Package URL, see github.com/package-url/purl-spec. "" if there is none. */
  readonly purl: string;
  readonly checksum: { readonly algorithm: "SHA256" | "SHA512"; readonly value: string };
  /** The copyright notices. */
  readonly copyright: string;
  readonly comment?: string;
}

/**
 * Licences of the libraries, without the programs and documents of the same Debian source package, as their
 * /usr/share/doc/PACKAGE/copyright states them.
 */
const debianLicenses: Readonly<Record<string, string>> = {
  "libnl-3-200": "LGPL-2.1-only",
  libbpf1: "LGPL-2.1-only OR BSD-2-Clause",
  libelf1: "GPL-2.0-or-later OR LGPL-3.0-or-later",
  zlib1g: "Zlib",
  libssl3: "Apache-2.0",
};

const NO_COPYRIGHT = "NOASSERTION";

/**
 * Returns the part that a line of dist/proxy.sources stands for; undefined for a tool that is not part of the binary.
 * @param copyrightOf the copyright file of a Debian package
 * @throws Error for a library whose licence is not known here.
 */
export function partOfSource(
  line: string,
  version: string,
  copyrightOf: (debianPackage: string) => string,
): Part | undefined {
  const [, value, file, origin] = /^([0-9a-f]{64}) {2}(\S+)(?: \((.*)\))?$/.exec(line) ?? [];
  if (value === undefined || file === undefined) throw new Error(`not a line of proxy.sources: ${line}`);
  const checksum = { algorithm: "SHA256", value } as const;
  if (file === "deno") return undefined;
  const denort = /^denort-(.+)$/.exec(file)?.[1];
  if (denort !== undefined) {
    return {
      name: "denort",
      version: denort,
      license: "MIT",
      purl: `pkg:github/denoland/deno@v${denort}`,
      checksum,
      copyright: NO_COPYRIGHT,
      comment:
        "Runtime of Deno, with V8 (BSD-3-Clause), ICU (Unicode-3.0) and the crates in the Cargo.lock of this version.",
    };
  }
  if (file.endsWith(".bpf.o")) {
    return {
      name: file,
      version,
      license: "GPL-2.0-only OR Apache-2.0",
      purl: "",
      checksum,
      copyright: NO_COPYRIGHT,
      comment: "Compiled from backends/ebpf/bpf.",
    };
  }
  if (/^page\.\w+$/.test(file)) {
    return {
      name: file,
      version,
      license: "Apache-2.0",
      purl: "",
      checksum,
      copyright: NO_COPYRIGHT,
      comment: "A file of the page on the metrics address.",
    };
  }
  const [name = "", packageVersion = "", architecture = ""] = origin?.split(" ") ?? [];
  const license = debianLicenses[name];
  if (license === undefined) {
    throw new Error(`${file} (${origin}): add its licence to scripts/release/sbom.ts`);
  }
  return {
    name,
    version: packageVersion,
    license,
    purl: `pkg:deb/debian/${name}@${encodeURIComponent(packageVersion)}?arch=${architecture}`,
    checksum,
    copyright: copyrightOf(name),
    comment: `The file ${file} of the Debian package.`,
  };
}

/** Names and versions of the npm packages in a bundle, of which it names every module. */
export function npmPackages(bundle: string): { readonly name: string; readonly version: string }[] {
  const found = new Set(
    [...bundle.matchAll(/^\/\/ npm\/((?:@[^/\s]+\/)?[^/\s]+)\/([^/\s]+)\//gm)].map(([, name, version]) =>
      `${name} ${version}`
    ),
  );
  return [...found].sort().map((text) => {
    const [name = "", version = ""] = text.split(" ");
    return { name, version };
  });
}

/** Makes the document for a binary with its parts. The same arguments give the same document. */
export function bill(
  binary: { readonly name: string; readonly version: string; readonly sha256: string },
  parts: readonly Part[],
  created: string,
): object {
  const packageOf = ({ name, version, license, purl, checksum, copyright, comment }: Part, id: string) => ({
    SPDXID: id,
    name,
    versionInfo: version,
    downloadLocation: "NOASSERTION",
    filesAnalyzed: false,
    licenseConcluded: "NOASSERTION",
    licenseDeclared: license,
    copyrightText: copyright,
    checksums: [{ algorithm: checksum.algorithm, checksumValue: checksum.value }],
    ...(purl === "" ? {} : {
      externalRefs: [{
        referenceCategory: "PACKAGE-MANAGER",
        referenceType: "purl",
        referenceLocator: purl,
      }],
    }),
    ...(comment === undefined ? {} : { comment }),
  });
  const idOf = ({ name }: Part) => `SPDXRef-${name.replaceAll(/[^A-Za-z0-9.-]/g, "-")}`;
  const program: Part = {
    name: "proxy",
    version: binary.version,
    license: "Apache-2.0",
    purl: "",
    checksum: { algorithm: "SHA256", value: binary.sha256 },
    copyright: NO_COPYRIGHT,
    comment: `The file ${binary.name}.`,
  };
  return {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: "SPDXRef-DOCUMENT",
    name: binary.name,
    documentNamespace: `https://spdx.org/spdxdocs/${binary.name}-${binary.sha256}`,
    creationInfo: { created, creators: ["Tool: scripts/release/sbom.ts"] },
    packages: [packageOf(program, "SPDXRef-proxy"), ...parts.map((part) => packageOf(part, idOf(part)))],
    relationships: [
      {
        spdxElementId: "SPDXRef-DOCUMENT",
        relationshipType: "DESCRIBES",
        relatedSpdxElement: "SPDXRef-proxy",
      },
      ...parts.map((part) => ({
        spdxElementId: "SPDXRef-proxy",
        relationshipType: "CONTAINS",
        relatedSpdxElement: idOf(part),
      })),
    ],
  };
}

/** Reads the licence and the checksum of an npm package from Deno's cache and deno.lock. */
function npmPart({ name, version }: { readonly name: string; readonly version: string }): Part {
  const lock: { npm: Record<string, { integrity: string }> } = JSON.parse(Deno.readTextFileSync("deno.lock"));
  const integrity = lock.npm[`${name}@${version}`]?.integrity.replace(/^sha512-/, "");
  if (integrity === undefined) throw new Error(`${name}@${version} is not in deno.lock`);
  const cache = `${Deno.env.get("DENO_DIR") ?? `${Deno.env.get("HOME")}/.cache/deno`}/npm`;
  const [registry] = [...Deno.readDirSync(cache)].filter(({ isDirectory }) => isDirectory);
  const { license } = JSON.parse(
    Deno.readTextFileSync(`${cache}/${registry?.name}/${name}/${version}/package.json`),
  );
  const value = [...atob(integrity)].map((byte) => byte.charCodeAt(0).toString(16).padStart(2, "0")).join("");
  return {
    name,
    version,
    license,
    purl: `pkg:npm/${name.replace("@", "%40")}@${version}`,
    checksum: { algorithm: "SHA512", value },
    copyright: NO_COPYRIGHT,
    comment: "The checksum is that of the archive in the npm registry.",
  };
}

async function sha256(path: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", await Deno.readFile(path));
  return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

if (import.meta.main) {
  const [binary = "", sources = "", created = "", ...bundles] = Deno.args;
  const { version } = JSON.parse(Deno.readTextFileSync("deno.json"));
  const copyrightOf = (name: string) => Deno.readTextFileSync(`/usr/share/doc/${name}/copyright`);
  const lines = Deno.readTextFileSync(sources).trim().split("\n");
  const built = lines.map((line) => partOfSource(line, version, copyrightOf)).filter((part) =>
    part !== undefined
  );
  const seen = new Map(built.map((part) => [`${part.name} ${part.checksum.value}`, part]));
  // libcrypto and libssl come from one package.
  const parts = [...Map.groupBy(seen.values(), ({ name }) => name)].flatMap(([name, files]) =>
    files.map((part, index) => index === 0 ? part : { ...part, name: `${name}-${index + 1}` })
  );
  const document = bill(
    { name: basename(binary), version, sha256: await sha256(binary) },
    [
      ...parts,
      ...npmPackages(bundles.map((bundle) => Deno.readTextFileSync(bundle)).join("\n")).map(npmPart),
    ],
    created,
  );
  await Deno.stdout.write(new TextEncoder().encode(JSON.stringify(document, null, 2) + "\n"));
}
