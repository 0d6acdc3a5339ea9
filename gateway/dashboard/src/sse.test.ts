import { afterEach, expect, test, vi } from "vitest";
import { listen, Parser } from "./sse";

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("events come whole from any cut of the stream, comments and all line ends", () => {
  const stream = ": keepalive\n\nevent: update\nid: 7\ndata: {\"a\":\ndata: 1}\n\nid: 8\r\ndata: x\r\n\r\n";
  for (let cut = 0; cut < stream.length; cut++) {
    const parser = new Parser();
    const events = [...parser.push(stream.slice(0, cut)), ...parser.push(stream.slice(cut))];
    expect(events).toEqual([
      { event: "update", id: "7", data: '{"a":\n1}' },
      { event: "message", id: "8", data: "x" },
    ]);
  }
});

/** A stream that says this and breaks. */
function broken(text: string): Response {
  const chunks = [new TextEncoder().encode(text)];
  const body = new ReadableStream({
    pull: (controller) => {
      const chunk = chunks.shift();
      if (chunk) controller.enqueue(chunk);
      else controller.error(new TypeError("network error"));
    },
  });
  return new Response(body);
}

test("a stream that breaks goes on behind its last event, until the gateway refuses", async () => {
  const asked: (string | null)[] = [];
  const answers = [
    broken("event: entry\nid: 1\ndata: one\n\nevent: delta\ndata: of two\n\n"),
    new Response("event: entry\nid: 2\ndata: two\n\n"),
    new Response('{"code": "not_found", "detail": "gone"}', { status: 404 }),
  ];
  vi.stubGlobal("fetch", async (_: string, { headers }: RequestInit) => {
    asked.push(new Headers(headers).get("last-event-id"));
    return answers.shift();
  });
  vi.stubGlobal("sessionStorage", { getItem: () => null });
  const heard: string[] = [];
  const refused = await listen("/sessions/s/events", "", ({ data }) => (heard.push(data), false), new AbortController().signal);
  expect(heard).toEqual(["one", "of two", "two"]);
  expect(asked).toEqual([null, "1", "2"]);
  expect(refused).toMatchObject({ status: 404, message: "gone" });
});

test("a connection that says nothing any more is left for a new one", async () => {
  vi.useFakeTimers();
  const end = new AbortController();
  let asked = 0;
  vi.stubGlobal("fetch", async (_: string, { signal }: RequestInit) => {
    asked++;
    const body = new ReadableStream({ start: (controller) => signal?.addEventListener("abort", () => controller.error(signal.reason)) });
    return new Response(body);
  });
  vi.stubGlobal("sessionStorage", { getItem: () => null });
  const over = listen("/sessions/s/events", "", () => false, end.signal);
  await vi.advanceTimersByTimeAsync(44_000);
  expect(asked).toBe(1);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(asked).toBe(2);
  end.abort();
  expect(await over).toBeNull();
});
