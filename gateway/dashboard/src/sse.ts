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
/** The gateway says something every 15 seconds: a connection that says nothing for this long leads nowhere any more. */
const SILENCE_MS = 45_000;

/**
 * Listens to a stream below the API's base, over broken connections too: from behind the event `last`, until `take` says
 * that it has had the last one, or an abort. Resolves with the gateway's refusal where it refuses.
 */
export async function listen(
  path: string,
  last: string,
  take: (message: Message) => boolean,
  signal: AbortSignal,
): Promise<Problem | null> {
  for (let tries = 0; !signal.aborted; tries++) {
    const silent = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const heard = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), SILENCE_MS);
    };
    try {
      heard();
      const response = await fetch(`${BASE}${path}`, {
        headers: { accept: "text/event-stream", ...(last ? { "last-event-id": last } : {}), ...authorization() },
        signal: AbortSignal.any([signal, silent.signal]),
      });
      if (!response.ok || !response.body) {
        const problem = await problemOf(response);
        told(problem);
        if (response.status < 500 && response.status !== 429) return problem;
        throw problem;
      }
      told(null);
      const parser = new Parser();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        heard();
        for (const message of parser.push(value)) {
          tries = 0;
          if (message.id) last = message.id;
          if (take(message)) return null;
        }
      }
    } catch (error) {
      if (signal.aborted) return null;
      if (!(error instanceof Problem)) told(new Problem(0, "away", "the stream broke"));
    } finally {
      clearTimeout(timer);
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSES_MS[Math.min(tries, PAUSES_MS.length - 1)]));
  }
  return null;
}

/**
 * Follows an envelope from update `after` until its end. Resolves after the last update, at an abort, or when the gateway
 * refuses.
 */
export async function follow(id: string, after: number, onUpdate: (update: Update) => void, signal: AbortSignal): Promise<void> {
  const take = ({ event, id, data }: Message): boolean => {
    if (event !== "update") return false;
    const update = JSON.parse(data) as Update;
    onUpdate({ ...update, seq: Number(id) });
    return isFinal(update.status);
  };
  await listen(`/envelopes/${encodeURIComponent(id)}/events`, after > 0 ? String(after) : "", take, signal);
}
