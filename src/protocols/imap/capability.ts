/**
 * What this server says it can do: only what works. ESEARCH is left out on purpose: Dovecot 2.3 maps the sequence numbers
 * of its answers wrongly and uses plain `UID SEARCH` without it. Source: RFC 3501 §7.2.1 and the RFC of each name.
 */

const ALWAYS = [
  "IMAP4rev1",
  "LITERAL+",
  "ID",
  "NAMESPACE",
  "UNSELECT",
  "UIDPLUS",
  "IDLE",
  "WITHIN",
  "CHILDREN",
  "LIST-EXTENDED",
  "LIST-STATUS",
  "SPECIAL-USE",
  "STATUS=SIZE",
];

/** @param login  "open": passwords are welcome; "disabled": not on this connection (RFC 3501 §6.2.3); "done": logged in */
export function capabilities(login: "open" | "disabled" | "done"): string {
  if (login === "done") return ALWAYS.join(" ");
  const [rev, ...others] = ALWAYS;
  const words = login === "open" ? ["SASL-IR", "AUTH=PLAIN"] : ["LOGINDISABLED"];
  return [rev, ...words, ...others].join(" ");
}
