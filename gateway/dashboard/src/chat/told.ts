// What is said of operations and conversations, in sentences.

import { duration } from "../format";
import type { Operation, State } from "./api";

/** What stands for what looks like a secret. */
const HIDDEN = "***";

/** Whether the diff does not show all: then what is done is shown itself. */
export function whole({ diff }: Operation): boolean {
  return !diff || diff.includes(HIDDEN);
}

/** Whether those concerned may, as the cluster says. */
export function review({ review, four_eyes }: Operation): { text: string; bad: boolean }[] {
  const who: [string, boolean | null | undefined][] = [
    ["the person", review?.person],
    ["the tool", review?.tool],
  ];
  const said = who.filter(([, may]) => typeof may === "boolean").map(([name, may]) => `${name} ${may ? "may" : "may NOT"}`);
  const told: { text: string; bad: boolean }[] = [];
  if (said.length > 0)
    told.push({
      text: `The cluster says: ${said.join(", ")}${review?.reason ? ` (${review.reason})` : ""}.`,
      bad: review?.person === false || review?.tool === false,
    });
  if (four_eyes) told.push({ text: "Somebody else than who asked must decide.", bad: false });
  return told;
}

/** How long somebody may still decide. */
export function left(expires: string, now: number): string {
  const ms = Date.parse(expires) - now;
  return ms > 0 ? `${duration(Math.max(1000, ms))} left to decide` : "the time to decide is over";
}

/** What became of an operation. */
export function verdict({ phase, decision, outcome }: Operation): string {
  const comment = decision?.comment ? `: ${decision.comment}` : "";
  const by = decision?.by ? ` by ${decision.by}` : "";
  switch (phase) {
    case "waiting":
      return "Waits for approval";
    case "rejected":
      return `Rejected${by}${comment}`;
    case "expired":
      return "Nobody decided in time: rejected";
    case "approved":
      return `Approved${by}${comment}`;
    case "claimed":
      return `Approved${by}${comment}. It is being done`;
    case "done":
      return `Approved${by}${comment}. ${outcome?.ok === false ? "It failed" : "Done"}`;
  }
}

export const STATES: Record<State, { word: string; status: string }> = {
  idle: { word: "idle", status: "" },
  running: { word: "running", status: "running" },
  "input-required": { word: "waits for approval", status: "pending" },
};

/** Names as they were typed: by commas, spaces or lines, each once. */
export function names(text: string): string[] {
  return [...new Set(text.split(/[\s,]+/).filter(Boolean))];
}

/** Words of Markdown as they are said: without the marks that are only seen. */
export function spoken(text: string): string {
  return text
    .replace(/^[\s#>|:-]+/gm, "")
    .replace(/[*`|]+/g, " ")
    .replace(/\s+/g, " ")
    .trim();
}

/** One line of a value. */
export function short(value: unknown, length = 120): string {
  const text = (typeof value === "string" ? value : JSON.stringify(value)).replace(/\s+/g, " ").trim();
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
