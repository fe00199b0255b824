/** Who may read whose mail; `store/login.ts` implements it. */
import type { Account } from "./directory.ts";

export interface LoginRequest {
  /** Who authenticates. */
  readonly user: string;
  readonly password: string;
  /** Whose mail (SASL authorization identity); "" = `user`. */
  readonly authorize: string;
  /** Address of the peer, or "unix". */
  readonly peer: string;
}

export interface Authenticator {
  /** @throws {MairustError} `auth_failed`, `store_unavailable`, `too_many` (throttled) */
  login(request: LoginRequest): Promise<Account>;
}
