const commands = ["iptables", "ip6tables"].flatMap((tool) => [tool, `${tool}-save`, `${tool}-restore`]);

/**
 * An environment in which `iptables` is that of the nf_tables flavour, independently of the installed
 * alternative.
 * @param directory for links to the commands.
 */
export function nftFlavour(directory: string): { readonly PATH: string } {
  const path = `${directory}/nft-flavour`;
  Deno.mkdirSync(path, { recursive: true });
  for (const command of commands) {
    try {
      Deno.symlinkSync("/usr/sbin/xtables-nft-multi", `${path}/${command}`);
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    }
  }
  return { PATH: `${path}:${Deno.env.get("PATH")}` };
}
