/** Where a server answers a dialog (`test/dialogs/imap-shared`) otherwise than the others, and why. Lines name these by `S@name` and `S!name`. */

/** `direct`: our service. `dovecot`: a Dovecot with a Maildir. `imapc`: our service through a Dovecot. */
export const DIALOG_WAYS = ["direct", "dovecot", "imapc"] as const;
export type DialogWay = (typeof DIALOG_WAYS)[number];

export interface DialogDifference {
  /** Who answers otherwise. */
  readonly ways: readonly DialogWay[];
  readonly why: string;
}

export const DIALOG_DIFFERS: Readonly<Record<string, DialogDifference>> = {
  "read-write": {
    ways: ["dovecot", "imapc"],
    why: "our mail is read-only; imapc of Dovecot 2.3 does not pass that on",
  },
  "private-seen": {
    ways: ["imapc"],
    why: "behind a Dovecot that may not change our mail, \\Seen is each user's own there, and begins unset (dovecot/stage-store.conf)",
  },
  local: {
    ways: ["imapc"],
    why: "stage-store.conf has a second namespace for mail that stays in Dovecot",
  },
  "silent-enable": {
    ways: ["dovecot"],
    why: "Dovecot says nothing when nothing was enabled; RFC 5161 §3.2 has ENABLED answer every ENABLE",
  },
  "no-part": {
    ways: ["dovecot", "imapc"],
    why: "a part that is not there is NIL (RFC 3501 §7.4.2, nstring); Dovecot tells an empty one",
  },
  "no-date": {
    ways: ["dovecot"],
    why: "without a Date field there is no day before which a message was sent; Dovecot takes 1970 for it",
  },
};
