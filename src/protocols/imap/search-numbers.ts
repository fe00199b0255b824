/** Whether a search names messages by their numbers, whose meaning an EXPUNGE changes. Pure. Source: RFC 3501 §5.5, §6.4.8. */
import type { SearchKey } from "./parse-search.ts";

/** For whatever begins with a search: SEARCH, SORT, THREAD. As deep as the parser lets keys be nested. */
export function namesNumbers(key: SearchKey): boolean {
  switch (key.kind) {
    case "sequence":
      return true;
    case "not":
      return namesNumbers(key.key);
    case "and":
    case "or":
      return key.keys.some(namesNumbers);
    default:
      return false;
  }
}
