/** PEM texts of a certificate authority, a server certificate for `names` and a client certificate, made by openssl. */
export interface TestCertificates {
  readonly authority: string;
  readonly server: KeyPair;
  readonly client: KeyPair;
}

export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

/** @param names as in subjectAltName: "IP:127.0.0.1", "DNS:kubernetes.test" */
export async function makeCertificates(names: string): Promise<TestCertificates> {
  const read = await runOpenssl(`
      new="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
      openssl req -x509 $new -days 2 -subj /CN=authority -keyout ca.key -out ca.crt
      echo "subjectAltName=${names}" >names
      for who in server client; do
        openssl req $new -subj /CN=$who -keyout $who.key -out $who.csr
        openssl x509 -req -in $who.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out $who.crt
      done`);
  return {
    authority: read("ca.crt"),
    server: { certificate: read("server.crt"), key: read("server.key") },
    client: { certificate: read("client.crt"), key: read("client.key") },
  };
}

/** Runs a shell script in an empty directory. @returns a function that has the text of each file that it wrote */
export async function runOpenssl(script: string): Promise<(name: string) => string> {
  const directory = Deno.makeTempDirSync({ prefix: "certificates-" });
  try {
    const openssl = await new Deno.Command("sh", { args: ["-ec", script], cwd: directory, stderr: "piped" })
      .output();
    if (!openssl.success) throw new Error(new TextDecoder().decode(openssl.stderr));
    const texts = new Map<string, string>();
    for (const { name } of Deno.readDirSync(directory)) {
      texts.set(name, Deno.readTextFileSync(`${directory}/${name}`));
    }
    return (name) => {
      const text = texts.get(name);
      if (text === undefined) throw new Error(`openssl did not write ${name}`);
      return text;
    };
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}
