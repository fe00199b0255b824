/** Modified UTF-7 (RFC 3501 §5.1.3) as names of folders on disk have it, in both directions. Pure; never throws. */

const SHIFTED = /[^\x20-\x7e]+|&/gu;

/** @param name  Unicode  @returns printable ASCII */
export function encodeModifiedUtf7(name: string): string {
  return name.replace(SHIFTED, run => (run === "&" ? "&-" : `&${encodeRun(run)}-`));
}

function encodeRun(run: string): string {
  const octets: number[] = [];
  for (let i = 0; i < run.length; i += 1) octets.push(run.charCodeAt(i) >> 8, run.charCodeAt(i) & 0xff);
  return btoa(String.fromCharCode(...octets))
    .replace(/=+$/u, "")
    .replaceAll("/", ",");
}

/** @returns the name, or undefined for what is no modified UTF-7 (it may be UTF-8, or plain text with a lone `&`) */
export function decodeModifiedUtf7(text: string): string | undefined {
  if (/[^\x20-\x7e]/u.test(text)) return undefined;
  const decoded = text.replace(/&([A-Za-z0-9+,]*)-/gu, (_, run: string) =>
    run === "" ? "&" : decodeRun(run),
  );
  // Only the one form that an encoder writes: everything else is kept as it is.
  return encodeModifiedUtf7(decoded) === text ? decoded : undefined;
}

function decodeRun(run: string): string {
  const base64 = run.replaceAll(",", "/");
  if (base64.length % 4 === 1) return "";
  const octets = atob(base64);
  let text = "";
  for (let i = 0; i + 1 < octets.length; i += 2)
    text += String.fromCharCode((octets.charCodeAt(i) << 8) | octets.charCodeAt(i + 1));
  return text;
}
