// A conversation as it happens: what is stored, and the piece of the next entry that has come so far.

import type { Call, Delta, Entry, Of, Operation, Session } from "./api";

export interface Transcript {
  session: Session | null;
  /** In order, each once. */
  entries: Entry[];
  /** By id. */
  operations: Map<string, Operation>;
  writing: Writing | null;
}

/** The answer that is being written. */
export interface Writing {
  n: number;
  text: string;
  /** Length of the text in UTF-8. */
  bytes: number;
  /** Its beginning went by unheard: the entry will tell the whole. */
  missed: boolean;
}

export const NOTHING: Transcript = { session: null, entries: [], operations: new Map(), writing: null };

export const headOf = ({ entries }: Transcript): number => entries[entries.length - 1]?.n ?? 0;

/** One event of the stream more. Unknown kinds change nothing. */
export function happened(before: Transcript, event: string, data: string): Transcript {
  switch (event) {
    case "entry":
      return withEntry(before, JSON.parse(data) as Entry);
    case "delta":
      return withDelta(before, JSON.parse(data) as Delta);
    case "session":
      return { ...before, session: JSON.parse(data) as Session };
    case "operation":
      return withOperation(before, JSON.parse(data) as Operation);
    default:
      return before;
  }
}

function withEntry(before: Transcript, entry: Entry): Transcript {
  if (entry.n <= headOf(before)) return before;
  const { writing } = before;
  return { ...before, entries: [...before.entries, entry], writing: writing && writing.n > entry.n ? writing : null };
}

/** Phases in the order in which they come: what was heard late takes nothing back. */
const PHASES = ["waiting", "rejected", "expired", "approved", "claimed", "done"];

export function withOperation(before: Transcript, operation: Operation): Transcript {
  const known = before.operations.get(operation.id);
  if (known && PHASES.indexOf(known.phase) > PHASES.indexOf(operation.phase)) return before;
  return { ...before, operations: new Map(before.operations).set(operation.id, operation) };
}

const utf8 = new TextEncoder();

function withDelta(before: Transcript, { n, offset, text }: Delta): Transcript {
  if (n <= headOf(before)) return before;
  const known = before.writing?.n === n ? before.writing : { n, text: "", bytes: 0, missed: false };
  if (before.writing && before.writing.n > n) return before;
  if (offset > known.bytes) return { ...before, writing: { ...known, missed: true } };
  const piece = utf8.encode(text);
  if (offset === known.bytes)
    return { ...before, writing: { ...known, text: known.text + text, bytes: known.bytes + piece.length, missed: false } };
  const whole = utf8.encode(known.text);
  // A repeat says nothing new.
  const end = offset + piece.length;
  if (end <= whole.length && piece.every((byte, at) => whole[offset + at] === byte)) return before;
  // It goes on, or the model began again: what it says now is what counts.
  const next = new Uint8Array(end);
  next.set(whole.subarray(0, offset));
  next.set(piece, offset);
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(next);
    return { ...before, writing: { n, text, bytes: end, missed: false } };
  } catch {
    // A cut within a character: left to the entry.
    return before;
  }
}

/** A call, with what became of it. */
export interface Step {
  call: Call;
  operations: Operation[];
  result: Of<"tool"> | null;
}

/** What is shown as one thing. */
export type Item =
  | { kind: "said"; entry: Of<"user"> | Of<"summary"> | Of<"notice"> }
  | { kind: "answer"; entry: Of<"assistant">; steps: Step[] }
  | { kind: "result"; entry: Of<"tool"> }
  | { kind: "operation"; operation: Operation };

/** Entries and operations as a person reads them: answers of tools and operations stand at the call that they belong to. */
export function items(entries: Entry[], operations: Operation[]): Item[] {
  const all: Item[] = [];
  /** Calls by id. A model may use an id again: the latest is meant. */
  const calls = new Map<string, { step: Step; at: number }[]>();
  for (const entry of entries) {
    if (entry.kind === "assistant") {
      const steps = (entry.calls ?? []).map((call): Step => ({ call, operations: [], result: null }));
      for (const step of steps) {
        const same = calls.get(step.call.id) ?? [];
        same.push({ step, at: Date.parse(entry.at) });
        calls.set(step.call.id, same);
      }
      all.push({ kind: "answer", entry, steps });
    } else if (entry.kind === "tool") {
      const step = calls.get(entry.call)?.findLast(({ step }) => !step.result)?.step;
      if (step) step.result = entry;
      else all.push({ kind: "result", entry });
    } else {
      all.push({ kind: "said", entry });
    }
  }
  for (const operation of [...operations].sort((a, b) => a.created.localeCompare(b.created))) {
    const made = Date.parse(operation.created);
    const step = calls.get(operation.call)?.findLast(({ at }) => at <= made)?.step;
    if (step) step.operations.push(operation);
    else all.push({ kind: "operation", operation });
  }
  return all;
}

/** Where the last whole sentence of a text ends that is still being written. */
export function sentences(text: string, from: number): number {
  let end = from;
  for (const { index, 0: stop } of text.slice(from).matchAll(/[.!?:]\s|\n/g)) end = from + index + stop.length;
  return end;
}
