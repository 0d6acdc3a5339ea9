import { expect, test } from "vitest";
import { curl } from "./curl";
import { original } from "./letter";
import { link, parse } from "./router";

test("addresses carry any id and any filter there and back", () => {
  for (const id of ["order/1?x=#2", "50%", "ä b"]) {
    expect(parse(link("envelopes", id, { q: "a&b=c" }))).toEqual({ view: "envelopes", item: id, query: { q: "a&b=c" } });
  }
  expect(parse("")).toEqual({ view: "actors", item: null, query: {} });
});

test("a quote in the payload does not end the shell's", () => {
  expect(curl("http://h/api/v1", ["a"], { t: "it's" }, true)).toBe(
    "curl -sS 'http://h/api/v1/envelopes' \\\n  -H \"Authorization: Bearer $ASYA_TOKEN\" \\\n  -H 'Content-Type: application/json' \\\n" +
      "  -d '{\"route\":[\"a\"],\"payload\":{\"t\":\"it'\\''s\"}}'",
  );
});

test("a letter gives back the payload as it was, null included", () => {
  const body = (payload: object) => ({ route: { actors: ["a"], current: 0 }, payload }) as never;
  expect(original(body({ error: "no", original_payload: null }))).toEqual({ route: ["a"], payload: null });
  expect(original(body({ error: "no", details: { original_encoding: "excerpt" }, original_payload: "{" }))?.payload).toBeUndefined();
  expect(original(body({ n: 1 }))).toEqual({ route: ["a"], payload: { n: 1 } });
  expect(original("not an envelope")).toBeNull();
});
