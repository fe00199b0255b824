/**
 * Endings that some server takes for the end of DATA, and which are content here: only CRLF "." CRLF ends it.
 * Source: https://sec-consult.com/blog/detail/smtp-smuggling-spoofing-e-mails-worldwide/
 */
export const SMUGGLED_ENDINGS = [
  "\n.\n",
  "\n.\r\n",
  "\r\n.\n",
  "\r.\r",
  "\r.\r\n",
  "\r\n.\r",
  "\r.\n",
  "\n.\r",
  "\r\n\0.\r\n",
  "\r\n.\0\r\n",
  "\r\n.\0\n",
  "\r\n.\r\0\n",
  "\r\n.\r\r\n",
  "\r\r\n.\r\r\n",
  "\r\n\r.\r\n",
  "\0\r\n.\n",
  "\n\0.\n",
  "\n\n.\r\n",
  "\r\n .\r\n",
  "\r\n. \r\n",
  "\r\n\t.\r\n",
  "\n\r.\n\r",
  "\r\n.\n\r\n.\r",
  "\u0085.\u0085",
  "\x0b.\x0b",
  "\x0c.\x0c",
] as const;

/** What an attacker puts behind the ending: a transaction of its own. */
export const SMUGGLED_COMMANDS =
  "MAIL FROM:<smuggled@example.org>\r\nRCPT TO:<victim@example.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nforged\r\n";
