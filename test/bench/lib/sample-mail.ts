/** Mail for the read rows: the same for the same index, of a few common kinds, near a wanted size. Line ends are LF or CRLF as asked. */

const WORDS =
  "the report of this week shows that orders from Osaka and Nagoya arrive one day later than planned please look at the table below and answer before Friday evening thank you very much for your patience with the new schedule".split(
    " ",
  );
const LINE_WORDS = 12;
const BASE64_LINE_OCTETS = 57;

/** Park and Miller's generator: deterministic, and enough to defeat a compressor. */
function randomOf(seed: number): () => number {
  let state = (seed % 2_147_483_646) + 1;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state;
  };
}

/**
 * Message `index`: every third a plain text, every third multipart/alternative, every third with an attachment (base64, three
 * quarters of its octets).
 *
 * @param sizeBytes  of the whole message with LF line ends, about
 * @param eol        line end
 */
export function sampleMail(index: number, sizeBytes: number, eol: "\n" | "\r\n"): Buffer {
  const random = randomOf(index + 1);
  const room = Math.max(200, sizeBytes - 1100);
  const head = header(index);
  const kind = index % 3;
  const lines =
    kind === 0
      ? [...head, "Content-Type: text/plain; charset=utf-8", "", ...text(random, room, index)]
      : kind === 1
        ? [...head, ...alternative(random, room, "=_alternative", index)]
        : [...head, ...withAttachment(random, room, index)];
  return Buffer.from(`${lines.join(eol)}${eol}`, "latin1");
}

function header(index: number): string[] {
  const second = String(index % 60).padStart(2, "0");
  return [
    `Received: from mx${index % 7}.example.net (mx${index % 7}.example.net [192.0.2.${index % 250}])`,
    `\tby mail.example.test (Postfix) with ESMTPS id 4XyZ${index}`,
    `\tfor <user@example.test>; Mon, 5 Jan 2026 10:11:${second} +0900 (JST)`,
    "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=example.net; s=mail;",
    `\tt=1767575471; bh=g3zLYH4xKxcPrHOD18z9YfpQcnk/GaJedfustWU5uG${index % 10}=;`,
    "\th=Date:From:To:Subject:From; b=aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789aBcDeFgHiJkLmNoPqRsTuVwXyZ01",
    `Date: Mon, 5 Jan 2026 10:11:${second} +0900`,
    `From: "Sato, Hanako" <hanako${index % 100}@example.net>`,
    `To: user@example.test, "Second Receiver" <second@example.test>`,
    `Cc: team@example.test`,
    `Message-ID: <${index}.4711@example.net>`,
    `In-Reply-To: <${Math.max(0, index - 3)}.4711@example.net>`,
    `Subject: =?UTF-8?B?6YCx5qyh44Os44Od44O844OI?= ${index}`,
    "MIME-Version: 1.0",
  ];
}

/** Something to look for that few have. */
const orderLine = (index: number) => `Order ${String(index).padStart(6, "0")}`;

function text(random: () => number, octets: number, index: number): string[] {
  const lines = [orderLine(index)];
  for (let size = 0; size < octets; ) {
    const words = Array.from({ length: LINE_WORDS }, () => WORDS[random() % WORDS.length] ?? "");
    const line = words.join(" ");
    lines.push(line);
    size += line.length + 1;
  }
  return lines;
}

function alternative(random: () => number, octets: number, boundary: string, index: number): string[] {
  const html = text(random, octets / 2, index).map(line => `<p>${line}</p>`);
  return [
    `Content-Type: multipart/alternative; boundary="${boundary}"`,
    "",
    `--${boundary}`,
    "Content-Type: text/plain; charset=utf-8",
    "",
    ...text(random, octets / 2, index),
    `--${boundary}`,
    "Content-Type: text/html; charset=utf-8",
    "Content-Transfer-Encoding: 8bit",
    "",
    ...html,
    `--${boundary}--`,
  ];
}

function withAttachment(random: () => number, octets: number, index: number): string[] {
  const boundary = "=_mixed";
  return [
    `Content-Type: multipart/mixed; boundary="${boundary}"`,
    "",
    `--${boundary}`,
    ...alternative(random, octets / 4, "=_inner", index),
    `--${boundary}`,
    `Content-Type: application/pdf; name="report-${index}.pdf"`,
    `Content-Disposition: attachment; filename="report-${index}.pdf"`,
    "Content-Transfer-Encoding: base64",
    "",
    ...base64Lines(random, (octets * 3) / 4),
    `--${boundary}--`,
  ];
}

function base64Lines(random: () => number, octets: number): string[] {
  const count = Math.max(1, Math.ceil(octets / 77));
  const raw = Buffer.alloc(count * BASE64_LINE_OCTETS);
  for (let at = 0; at + 4 <= raw.length; at += 3) raw.writeUInt32LE(random(), at);
  return Array.from({ length: count }, (_, i) =>
    raw.toString("base64", i * BASE64_LINE_OCTETS, (i + 1) * BASE64_LINE_OCTETS),
  );
}
