/** Header values and whole messages by grammar, right ones and nearly right ones. */
import type { Random } from "./random.ts";

const ATOMS = [
  "a",
  "ann",
  "x.y",
  "=?utf-8?q?C=C3=A9?=",
  "=?iso-2022-jp?b?GyRCMnE1RBsoQg==?=",
  "=?x?q?a?=",
  "=?utf-8?b?4?=",
  '"q\\"r"',
  "(c (d))",
  "\xe3\x81\x82",
  "",
  " ",
  "\t",
  "\0",
];
const SPECIALS = ["<", ">", "@", ",", ";", ":", ".", "(", ")", "[", "]", "\\", '"', "="];
const PARAMETERS = [
  "charset=utf-8",
  'name="a b"',
  "name*0*=utf-8''%e3",
  "name*1*=%81%82",
  "name*2=x",
  "filename=a b.pdf",
  'boundary="b"',
  "boundary=",
  "=x",
  "name*=''",
  "name*999=x",
  "x",
];
const TYPES = [
  "text/plain",
  "text/html",
  "multipart/mixed",
  "multipart/digest",
  "multipart/signed",
  "message/rfc822",
  "message/global",
  "message/partial",
  "image/png",
  "text",
  "x/",
  "/",
  "application/octet-stream",
];

export function headerText(random: Random): string {
  switch (random.int(4)) {
    case 0:
      return random.many(
        1 + random.small(10),
        () => random.pick(random.oneIn(2) ? ATOMS : SPECIALS),
        random.oneIn(2) ? " " : "",
      );
    case 1:
      return mediaType(random);
    case 2:
      return headerBlock(random, 6);
    default:
      return random.many(
        1 + random.small(4),
        () => `${random.pick(ATOMS)} <${random.pick(ATOMS)}@${random.pick(ATOMS)}>`,
        random.pick([",", ", ", ";"]),
      );
  }
}

function mediaType(random: Random): string {
  return `${random.pick(TYPES)}${random.many(random.small(5), () => `;${random.pick(["", " ", "\r\n "])}${random.pick(PARAMETERS)}`)}`;
}

const FIELDS = [
  "Subject",
  "From",
  "To",
  "Date",
  "Message-ID",
  "References",
  "Content-ID",
  "Content-Transfer-Encoding",
  "Content-Disposition",
  "Content-Language",
  "Received",
  "Delivered-To",
  "X",
];

function headerBlock(random: Random, most: number): string {
  return random.many(random.small(most), () => {
    const end = random.pick(["\r\n", "\r\n", "\r\n", "\n", "\r\n ", "\r"]);
    return `${random.pick(FIELDS)}${random.pick([":", ": ", " :", ""])}${random.many(random.small(4), () => random.pick(ATOMS), " ")}${end}`;
  });
}

const BOUNDARIES = ["b", "bb", "b b", "=_x", "--", "b".repeat(300)];

/** A message whose multiparts use few boundaries, so that they meet each other. */
export function mimeMessage(random: Random, depth = 4): string {
  const line = random.oneIn(8) ? "\n" : "\r\n";
  const head = headerBlock(random, 4);
  const choice = depth <= 0 ? 3 : random.int(5);
  if (choice === 0)
    return `${head}Content-Type: message/rfc822${line}${line}${mimeMessage(random, depth - 1)}`;
  if (choice >= 3)
    return `${head}${random.oneIn(2) ? `Content-Type: ${mediaType(random)}${line}` : ""}${random.oneIn(6) ? "" : line}${body(random)}`;
  const boundary = random.pick(BOUNDARIES);
  const type = `Content-Type: multipart/${random.pick(["mixed", "digest", "alternative"])}; boundary="${boundary}"`;
  const parts = random.many(
    random.small(4),
    () =>
      `--${boundary}${random.oneIn(6) ? random.pick([" ", "x", "-", "\t"]) : ""}${line}${mimeMessage(random, depth - 1)}${random.oneIn(6) ? "" : line}`,
  );
  const end = random.oneIn(4) ? "" : `--${boundary}--${random.oneIn(3) ? "" : line}`;
  return `${head}${type}${line}${line}${random.oneIn(4) ? body(random) : ""}${parts}${end}${random.oneIn(4) ? body(random) : ""}`;
}

function body(random: Random): string {
  return random.many(random.small(5), () =>
    random.pick([
      "text",
      "\r\n",
      "\n",
      "\r",
      "--",
      "--b",
      "--b--",
      "\r\n--b\r\n",
      "\0",
      "\xff",
      "-",
      "From x\r\n",
    ]),
  );
}
