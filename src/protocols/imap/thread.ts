/**
 * THREAD and UID THREAD by REFERENCES: what `search-run.ts` finds, linked (`thread-links.ts`), ordered (`thread-tree.ts`) and written
 * without recursion. Source: RFC 5256 §3 (THREAD), §4.
 */
import { setImmediate } from "node:timers/promises";
import { indexOfUid, SnapshotCursor } from "../../core/mailbox-snapshot.ts";
import type { ThreadRow } from "../../core/ports/message-order.ts";
import { inSlices, SLICE_STEPS } from "../../platform/slices.ts";
import type { InMailbox } from "./context.ts";
import { ConnectionGone, type Output } from "./output.ts";
import type { ThreadCommand } from "./parse-sort.ts";
import { type Completion, completionOf, ok } from "./reply.ts";
import { charsetRefusal, runSearch } from "./search-run.ts";
import { NO_ORDER } from "./sort.ts";
import { ThreadLinks } from "./thread-links.ts";
import { type ThreadTree, threadTree } from "./thread-tree.ts";
import { whileThere } from "./while-there.ts";

/** Texts written before others have their turn. */
const WRITTEN_PER_SLICE = 8192;
const NONE = -1;

/** @param nowMs  milliseconds since 1970 */
export async function thread(context: InMailbox, command: ThreadCommand, nowMs: number): Promise<Completion> {
  const { order, gone, selected, output } = context;
  if (order === undefined) return NO_ORDER;
  const refusal = charsetRefusal(command.request);
  if (refusal !== undefined) return refusal;
  const { indexes, failure } = await runSearch(context, command.request, nowMs);
  const messages = new SnapshotCursor(selected.view);
  const uids = indexes.map(index => messages.uid(index));
  const tree = await whileThere(gone, () =>
    order.threads(selected.view, uids, rows => treeOf(context, rows, uids.length, command.uid), gone),
  );
  await writeThreads(output, tree, gone);
  return failure === undefined ? ok("THREAD completed") : completionOf(failure);
}

async function treeOf(
  { gone, selected: { view } }: InMailbox,
  rows: AsyncIterable<readonly ThreadRow[]>,
  most: number,
  uid: boolean,
): Promise<ThreadTree> {
  const links = new ThreadLinks(most);
  let stepsSeen = 0;
  for await (const page of rows) {
    if (gone.aborted) throw new ConnectionGone();
    for (const row of page) {
      links.add(row, uid ? row.uid : indexOfUid(view, row.uid) + 1);
      if (links.steps - stepsSeen < SLICE_STEPS) continue;
      stepsSeen = links.steps;
      await setImmediate();
      if (gone.aborted) throw new ConnectionGone();
    }
  }
  return inSlices(threadTree(links), gone);
}

/** thread-list of RFC 5256 §5: an only child follows after a space, several are lists of their own. */
export async function writeThreads(
  output: Pick<Output, "text" | "pressure">,
  tree: ThreadTree,
  gone: AbortSignal,
): Promise<void> {
  output.text("* THREAD");
  let written = 0;
  for (const text of threadTexts(tree)) {
    output.text(text);
    written += 1;
    const waiting = output.pressure();
    if (waiting !== undefined) await waiting;
    else if (written % WRITTEN_PER_SLICE === 0) await setImmediate();
    if (gone.aborted) throw new ConnectionGone();
  }
  output.text("\r\n");
}

function* threadTexts(tree: ThreadTree): Generator<string> {
  for (let top = tree.firstTop; top !== NONE; top = tree.next[top] ?? NONE) {
    yield top === tree.firstTop ? " (" : "(";
    yield* threadText(tree, top);
  }
}

/** One thread and its closing parenthesis. */
function* threadText({ labels, count, firstChild, next }: ThreadTree, top: number): Generator<string> {
  /** Nodes whose siblings are still to come, from the top down. */
  const open: number[] = [];
  for (let node = top; ; ) {
    const child = firstChild[node] ?? NONE;
    if (node < count) yield child === NONE ? `${labels[node]}` : `${labels[node]} `;
    if (child !== NONE) {
      if (next[child] !== NONE) {
        open.push(child);
        yield "(";
      }
      node = child;
      continue;
    }
    yield ")";
    let sibling = NONE;
    while (sibling === NONE) {
      const last = open.pop();
      if (last === undefined) return;
      sibling = next[last] ?? NONE;
      if (sibling === NONE) yield ")";
    }
    open.push(sibling);
    yield "(";
    node = sibling;
  }
}
