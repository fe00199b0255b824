/** A value that a component fills in when it starts and others read afterwards; reading too early is a programming error with a name. */
import { MairustError } from "../core/errors.ts";

export interface Cell<T> {
  /** @throws {MairustError} `invalid_state` before the component that fills it has started */
  get(): T;
  peek(): T | undefined;
  set(value: T | undefined): void;
}

export function cell<T>(name: string): Cell<T> {
  let current: T | undefined;
  return {
    get() {
      if (current === undefined)
        throw new MairustError("invalid_state", `Cannot use "${name}": it is not started`);
      return current;
    },
    peek: () => current,
    set(value) {
      current = value;
    },
  };
}
