/**
 * What we use of the library `mailauth`, as it behaves. Its own declarations want text alone of a resolver, leave out most of what a
 * signature's result holds, and know the found chain of ARC only as data for a seal. Nothing else of it may be imported.
 *
 * Source: mailauth 4.13 lib/
 */

declare module "mailauth/lib/spf/index.js" {
  export function spf(options: {
    readonly sender: string;
    readonly ip: string;
    readonly helo: string;
    readonly mta: string;
    readonly resolver: (name: string, type: string) => Promise<readonly unknown[]>;
  }): Promise<{ readonly status: { readonly result: string; readonly comment?: string } }>;
}

declare module "mailauth/lib/dkim/verify.js" {
  export interface Signature {
    readonly signingDomain?: string;
    readonly selector?: string;
    readonly signature?: string;
    readonly publicKey?: string;
    /** The key's record, without white space. */
    readonly rr?: string;
    readonly canonBodyLength?: number;
    readonly canonBodyLengthLimit?: number;
    readonly status: { readonly result: string; readonly comment?: string | false };
  }

  /** For `arc()`: what it found and checked of the newest set. */
  export interface ArcFound {
    readonly lastEntry?: { readonly messageSignature?: { readonly status: { readonly result: string } } };
  }

  export function dkimVerify(
    input: import("node:stream").Readable,
    options: {
      readonly resolver: (name: string, type: string) => Promise<readonly unknown[]>;
      readonly sender: string;
      readonly minBitLength: number;
    },
  ): Promise<{
    readonly headerFrom: readonly string[];
    readonly results: readonly Signature[];
    readonly arc: ArcFound;
  }>;
}

declare module "mailauth/lib/arc/index.js" {
  export function arc(
    found: import("mailauth/lib/dkim/verify.js").ArcFound,
    options: {
      readonly resolver: (name: string, type: string) => Promise<readonly unknown[]>;
      readonly minBitLength: number;
    },
  ): Promise<{
    readonly i: number | false;
    readonly status: { readonly result: string; readonly comment?: string | false };
  }>;

  /** Only tests seal. @returns header fields to put on top */
  export function sealMessage(
    input: Uint8Array,
    seal: {
      readonly signingDomain: string;
      readonly selector: string;
      readonly privateKey: string;
      readonly algorithm: string;
      readonly authResults: string;
      readonly cv: string;
    },
  ): Promise<Buffer>;
}

declare module "mailauth/lib/dmarc/index.js" {
  interface Alignment {
    readonly strict: boolean;
    /** The domain that is of the same organization. */
    readonly result?: string | undefined;
  }

  /** The DNS error and the missing record leave all but `status` out. */
  export function dmarc(options: {
    readonly headerFrom: readonly string[];
    readonly spfDomains: readonly string[];
    readonly dkimDomains: readonly string[];
    readonly resolver: (name: string, type: string) => Promise<readonly unknown[]>;
  }): Promise<
    | false
    | {
        readonly status: { readonly result: string };
        readonly policy?: string | false;
        readonly p?: string | false;
        readonly sp?: string | false;
        readonly rr?: string;
        readonly alignment?: Readonly<Record<"spf" | "dkim", Alignment>>;
      }
  >;
}

declare module "mailauth/lib/dkim/body/relaxed.js" {
  /** Of a body in relaxed form; `limit` is of `l=`. */
  export class RelaxedHash {
    constructor(algorithm: string, limit: number | false);
    update(chunk: Uint8Array): void;
    digest(encoding: "base64"): string;
  }
}
