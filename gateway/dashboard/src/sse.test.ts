import { expect, test } from "vitest";
import { Parser } from "./sse";

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
