/**
 * Names and numbers of the milter protocol, versions 2 to 6, as the MTAs write them.
 * Sources: sendmail include/libmilter/mfdef.h, mfapi.h; Postfix src/milter/milter8.c
 */

/** Commands from the MTA. */
export const SMFIC_ABORT = 0x41; // A
export const SMFIC_BODY = 0x42; // B
export const SMFIC_CONNECT = 0x43; // C
export const SMFIC_MACRO = 0x44; // D
export const SMFIC_BODYEOB = 0x45; // E
export const SMFIC_HELO = 0x48; // H
export const SMFIC_QUIT_NC = 0x4b; // K
export const SMFIC_HEADER = 0x4c; // L
export const SMFIC_MAIL = 0x4d; // M
export const SMFIC_EOH = 0x4e; // N
export const SMFIC_OPTNEG = 0x4f; // O
export const SMFIC_QUIT = 0x51; // Q
export const SMFIC_RCPT = 0x52; // R
export const SMFIC_DATA = 0x54; // T
export const SMFIC_UNKNOWN = 0x55; // U

/** Responses of the filter. */
export const SMFIR_ADDRCPT = 0x2b; // +
export const SMFIR_DELRCPT = 0x2d; // -
export const SMFIR_ADDRCPT_PAR = 0x32; // 2
export const SMFIR_ACCEPT = 0x61; // a
export const SMFIR_REPLBODY = 0x62; // b
export const SMFIR_CONTINUE = 0x63; // c
export const SMFIR_DISCARD = 0x64; // d
export const SMFIR_CHGFROM = 0x65; // e
export const SMFIR_ADDHEADER = 0x68; // h
export const SMFIR_INSHEADER = 0x69; // i
export const SMFIR_CHGHEADER = 0x6d; // m
export const SMFIR_PROGRESS = 0x70; // p
export const SMFIR_QUARANTINE = 0x71; // q
export const SMFIR_REJECT = 0x72; // r
export const SMFIR_SKIP = 0x73; // s
export const SMFIR_TEMPFAIL = 0x74; // t
export const SMFIR_REPLYCODE = 0x79; // y

/** Actions: what the filter may ask for at the end of a message. */
export const SMFIF_ADDHDRS = 0x01;
export const SMFIF_CHGBODY = 0x02;
export const SMFIF_ADDRCPT = 0x04;
export const SMFIF_DELRCPT = 0x08;
export const SMFIF_CHGHDRS = 0x10;
export const SMFIF_QUARANTINE = 0x20;
export const SMFIF_CHGFROM = 0x40;
export const SMFIF_ADDRCPT_PAR = 0x80;
export const SMFIF_SETSYMLIST = 0x100;

/** Steps: what the MTA leaves out, what the filter does not answer, what either can do besides. */
export const SMFIP_NOCONNECT = 0x01;
export const SMFIP_NOHELO = 0x02;
export const SMFIP_NOMAIL = 0x04;
export const SMFIP_NORCPT = 0x08;
export const SMFIP_NOBODY = 0x10;
export const SMFIP_NOHDRS = 0x20;
export const SMFIP_NOEOH = 0x40;
export const SMFIP_NR_HDR = 0x80;
export const SMFIP_NOUNKNOWN = 0x100;
export const SMFIP_NODATA = 0x200;
export const SMFIP_SKIP = 0x400;
export const SMFIP_RCPT_REJ = 0x800;
export const SMFIP_NR_CONN = 0x1000;
export const SMFIP_NR_HELO = 0x2000;
export const SMFIP_NR_MAIL = 0x4000;
export const SMFIP_NR_RCPT = 0x8000;
export const SMFIP_NR_DATA = 0x1_0000;
export const SMFIP_NR_UNKN = 0x2_0000;
export const SMFIP_NR_EOH = 0x4_0000;
export const SMFIP_NR_BODY = 0x8_0000;
export const SMFIP_HDR_LEADSPC = 0x10_0000;

/** Where macros are sent: the numbers of a symbol list. */
export const SMFIM_CONNECT = 0;
export const SMFIM_HELO = 1;
export const SMFIM_ENVFROM = 2;
export const SMFIM_ENVRCPT = 3;
export const SMFIM_DATA = 4;
export const SMFIM_EOM = 5;
export const SMFIM_EOH = 6;

/** Families of the client's address. */
export const SMFIA_UNKNOWN = 0x55; // U
export const SMFIA_UNIX = 0x4c; // L
export const SMFIA_INET = 0x34; // 4
export const SMFIA_INET6 = 0x36; // 6

export const VERSION_MIN = 2;
export const VERSION_MAX = 6;

/** Largest piece of a body in one packet, either way (MILTER_CHUNK_SIZE). */
export const CHUNK_BYTES = 65_535;
