// Server-sent events by fetch: EventSource cannot carry an Authorization header.

import { BASE, authorization, problemOf, Problem, told, type Update } from "./api";

export interface Message {
  event: string;
  id: string;
  data: string;
}

/** Splits a stream of text into events; keeps what is not whole yet. Comments are dropped. */
export class Parser {
  private rest = "";
  lastId = "";

  push(chunk: string): Message[] {
    this.rest += chunk;
    const events: Message[] = [];
    for (;;) {
      const end = /\r?\n\r?\n/.exec(this.rest);
      if (!end) return events;
      const block = this.rest.slice(0, end.index);
      this.rest = this.rest.slice(end.index + end[0].length);
      let event = "message";
      const data: string[] = [];
      for (const line of block.split(/\r?\n/)) {
        const colon = line.indexOf(":");
        if (colon === 0) continue;
        const field = colon < 0 ? line : line.slice(0, colon);
        const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
        if (field === "data") data.push(value);
        else if (field === "event") event = value;
        else if (field === "id") this.lastId = value;
      }
      if (data.length > 0) events.push({ event, id: this.lastId, data: data.join("\n") });
    }
  }
}

const isFinal = (status: string): boolean => status === "succeeded" || status === "failed";
/** Pauses between tries; the last one repeats. */
const PAUSES_MS = [500, 1000, 2000, 5000];

/**
 * Follows an envelope from update `after` until its end, over broken connections too. Resolves after the last update,
 * at an abort, or when the gateway refuses.
 */
export async function follow(
  id: string,
  after: number,
  onUpdate: (update: Update) => void,
  signal: AbortSignal,
): Promise<void> {
  let last = after > 0 ? String(after) : "";
  for (let tries = 0; !signal.aborted; tries++) {
    try {
      const response = await fetch(`${BASE}/envelopes/${encodeURIComponent(id)}/events`, {
        headers: { accept: "text/event-stream", ...(last ? { "last-event-id": last } : {}), ...authorization() },
        signal,
      });
      if (!response.ok || !response.body) {
        const problem = await problemOf(response);
        told(problem);
        if (response.status < 500 && response.status !== 429) return;
        throw problem;
      }
      told(null);
      const parser = new Parser();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        for (const message of parser.push(value)) {
          tries = 0;
          if (message.id) last = message.id;
          if (message.event !== "update") continue;
          const update = JSON.parse(message.data) as Update;
          onUpdate({ ...update, seq: Number(message.id) });
          if (isFinal(update.status)) return;
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Problem)) told(new Problem(0, "away", "the stream broke"));
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSES_MS[Math.min(tries, PAUSES_MS.length - 1)]));
  }
}
