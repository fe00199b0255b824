/**
 * Real clients copy an account: libraries that clients are built on, programs that keep a copy, programs that fetch. One file, so that
 * the account is filled once; a single client is chosen with `--test-name-pattern`.
 */
import { doveadm } from "../../lib/clients/doveadm.ts";
import { getmail } from "../../lib/clients/getmail.ts";
import { imapflow } from "../../lib/clients/imapflow.ts";
import { imapfilter, imaplib, mailImapClient } from "../../lib/clients/library-clients.ts";
import { mbsync } from "../../lib/clients/mbsync.ts";
import { offlineimap } from "../../lib/clients/offlineimap.ts";
import { testSync } from "../../lib/clients/sync-suite.ts";

testSync([
  { client: imapflow, passesOver: 0 },
  { client: imaplib, passesOver: 0 },
  { client: mailImapClient, passesOver: 0 },
  { client: mbsync, passesOver: 3 },
  { client: doveadm, passesOver: 0 },
  { client: offlineimap, passesOver: 0 },
  { client: getmail, passesOver: 0 },
  { client: imapfilter, passesOver: 0 },
]);
