/**
 * xtext: how ORCPT, ENVID and XFORWARD values carry octets that a command line cannot.
 * Source: RFC 3461 §4; https://www.postfix.org/XFORWARD_README.html
 */

/**
 * Decode xtext to text; octets are read as UTF-8, wrong ones become U+FFFD.
 * @returns undefined when a "+" is not followed by two hex digits
 */
export function decodeXtext(value: string): string | undefined {
  if (!value.includes("+")) return value;
  const input = Buffer.from(value, "utf8");
  const output = Buffer.allocUnsafe(input.length);
  let length = 0;
  for (let i = 0; i < input.length; i += 1) {
    let octet = input[i] ?? 0;
    if (octet === 0x2b) {
      const high = hexDigit(input[i + 1]);
      const low = hexDigit(input[i + 2]);
      if (high < 0 || low < 0) return undefined;
      octet = high * 16 + low;
      i += 2;
    }
    output[length] = octet;
    length += 1;
  }
  return output.toString("utf8", 0, length);
}

/** RFC 3461 wants upper case; lower case is harmless and is seen. */
function hexDigit(octet: number | undefined): number {
  if (octet === undefined) return -1;
  if (octet >= 0x30 && octet <= 0x39) return octet - 0x30;
  const letter = octet & 0xdf;
  return letter >= 0x41 && letter <= 0x46 ? letter - 0x37 : -1;
}
