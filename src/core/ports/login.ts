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
  /**
   * May wait before it looks at the password, when many were wrong of late.
   * @param gone  aborts when nobody waits for the answer any more; its reason is thrown
   * @throws {MairustError} `auth_failed` (`context.reason`, for the log only: `bad_password` or `unknown_account`),
   *   `store_unavailable`, `too_many` (throttled)
   */
  login(request: LoginRequest, gone?: AbortSignal): Promise<Account>;
}
