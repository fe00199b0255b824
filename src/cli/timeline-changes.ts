/** The readable form of a change of stored mail: `tags +invoice, moved from INBOX to Invoices (UID 7) by sort (com.example.sort), post_receive` */

type Data = Readonly<Record<string, unknown>>;

/**
 * @param data   of an event of kind `changed`; what has another form than ours is left out, JSON output has it
 * @param shown  makes one value safe for a terminal
 */
export function changedText(data: Data, shown: (value: unknown) => string): string {
  const list = (value: unknown, sign: string) =>
    Array.isArray(value) ? value.map(word => `${sign}${shown(word)}`) : [];
  const tags = [...list(data.tags_added, "+"), ...list(data.tags_removed, "-")];
  const flags = list(data.flags_set, "");
  const metadata = list(data.metadata, "");
  const parts = [
    ...(tags.length > 0 ? [`tags ${tags.join(" ")}`] : []),
    ...(flags.length > 0 ? [`flags ${flags.join(" ")}`] : []),
    ...(metadata.length > 0 ? [`metadata ${metadata.join(" ")}`] : []),
    ...(isData(data.moved)
      ? [`moved from ${shown(data.moved.from)} to ${shown(data.moved.to)} (UID ${shown(data.moved.uid)})`]
      : []),
  ];
  const authors = Array.isArray(data.by)
    ? data.by.filter(isData).map(({ hook, plugin_id: plugin }) => `${shown(hook)} (${shown(plugin)})`)
    : [];
  const by = authors.length > 0 ? ` by ${authors.join(", ")}` : "";
  return `${parts.join(", ")}${by}${typeof data.job === "string" ? `, ${shown(data.job)}` : ""}`;
}

function isData(value: unknown): value is Data {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
