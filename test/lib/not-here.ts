/** What a test needs and a host may lack: there the test is skipped, and the reason shows. In CI the host lacks nothing. */

/** @returns the reason to skip with. @throws {Error} in CI, where a test that is skipped is a failure */
export function notHere(reason: string): string {
  if (process.env.CI === "true") throw new Error(reason);
  return reason;
}

/** @returns the option `skip` of a test */
export const skipUnless = (isHere: boolean, reason: string): string | false =>
  isHere ? false : notHere(reason);
