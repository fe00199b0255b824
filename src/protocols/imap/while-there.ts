/** Work that ends with the connection, whatever it ends by. */
import { ConnectionGone } from "./output.ts";

/** @throws {ConnectionGone} nobody waits for the result any more */
export async function whileThere<T>(gone: AbortSignal, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (gone.aborted) throw new ConnectionGone();
    throw error;
  }
}
