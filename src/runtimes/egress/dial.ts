/** Connects to addresses that were checked, and to no other: no name is looked up here. */
import { connect, isIP, type Socket } from "node:net";

/** @throws what the system said of the last address, or that `signal` aborted */
export type Dial = (addresses: readonly string[], port: number, signal: AbortSignal) => Promise<Socket>;

/** The one that answers first, as Node does it (RFC 8305). */
export const dialAddresses: Dial = (addresses, port, signal) => {
  const checked = addresses.map(address => ({ address, family: isIP(address) }));
  return new Promise((resolve, reject) => {
    const socket = connect({
      // Nobody asks for this name: `lookup` stands in for the system.
      host: "checked.invalid",
      port,
      allowHalfOpen: true,
      autoSelectFamily: true,
      lookup: (_host, _options, callback) => callback(null, checked),
    });
    const onAbort = () => socket.destroy(new Error("it took too long"));
    const settled = () => signal.removeEventListener("abort", onAbort);
    signal.addEventListener("abort", onAbort, { once: true });
    // Stays for good: an error of a socket that nobody hears ends the process.
    socket.on("error", error => {
      settled();
      reject(error);
    });
    socket.once("connect", () => {
      settled();
      resolve(socket);
    });
  });
};
