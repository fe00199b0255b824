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
  "no-date": {
    ways: ["dovecot", "imapc"],
    why: "without a Date field there is no day before which a message was sent; Dovecot takes 1970 for it",
  },
};
