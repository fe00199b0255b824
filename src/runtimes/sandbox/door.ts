/** The way out of a sandbox without a network: a socket of the host's proxy, and what inside makes it look like one. */

export interface Door {
  /** Files and sockets of the host, and where they are seen. */
  readonly binds: readonly { readonly from: string; readonly to: string }[];
  /** Program and arguments that start the plugin's command inside, once the way is open. */
  readonly prefix: readonly string[];
  /** Variables more. */
  readonly env: Readonly<Record<string, string>>;
}
