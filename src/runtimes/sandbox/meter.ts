/** How much a tree of processes uses. */

export interface Meter {
  /**
   * Of all of it since it began, those that ended among them as far as they can be known.
   * @param rough  processes that came since the last look need not be found
   */
  cpuMs(rough?: boolean): number | undefined;
  /** Memory that is its own alone; cheap, and rather too much than too little. */
  memoryBytes(): number | undefined;
  /** The same, exactly; costs more. */
  exactMemoryBytes(): number | undefined;
}

/** Reads each figure from the kernel's account where there is one, else from the processes. */
export function bestMeter(account: Meter | undefined, tree: Meter): Meter {
  return {
    cpuMs: rough => account?.cpuMs(rough) ?? tree.cpuMs(rough),
    memoryBytes: () => account?.memoryBytes() ?? tree.memoryBytes(),
    exactMemoryBytes: () => account?.exactMemoryBytes() ?? tree.exactMemoryBytes(),
  };
}
