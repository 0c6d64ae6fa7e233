const commands = ["iptables", "ip6tables"].flatMap((tool) => [tool, `${tool}-save`, `${tool}-restore`]);

/**
 * The environment in which whoever calls iptables gets that of the nf_tables flavour, whatever this machine's
 * alternative is.
 * @param directory where the commands are put
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
