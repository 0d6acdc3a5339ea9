import { expect, test } from "vitest";
import type { Schema } from "./api";
import { draft, fields, readAll, within } from "./schema";

const schema: Schema = {
  type: "object",
  required: ["url", "order"],
  properties: {
    pages: { type: "integer", default: 10, minimum: 1 },
    url: { type: "string" },
    language: { enum: ["en", 2, null] },
    strict: { type: "boolean" },
    order: { type: "object", required: ["id"], properties: { id: { type: "string" }, weight: { type: "number" } } },
    tags: { type: "array", items: { type: "string" } },
  },
};

const filled = (given: Record<string, unknown>) => readAll(fields(schema), given as never);

test("required fields come first and defaults are filled in", () => {
  const all = fields(schema);
  expect(all.map(({ name, kind }) => `${name}:${kind}`)).toEqual(
    ["url:text", "order:object", "pages:integer", "language:choice", "strict:boolean", "tags:json"],
  );
  expect(Object.fromEntries(all.map((field) => [field.name, draft(field)]))).toMatchObject({ pages: "10", url: undefined });
});

test("what was typed becomes values of the schema's types", () => {
  const { value, errors } = filled({ url: "x", pages: "3", language: "1", strict: true, order: { id: "7", weight: "1.5" }, tags: '["a"]' });
  expect(errors).toEqual({});
  expect(value).toEqual({ url: "x", pages: 3, language: 2, strict: true, order: { id: "7", weight: 1.5 }, tags: ["a"] });
});

test("what is left out is not sent, so that the gateway's defaults hold", () => {
  expect(filled({ url: "x", order: { id: "7" } }).value).toEqual({ url: "x", order: { id: "7" } });
});

test("each wrong field is named by its path", () => {
  const { errors } = filled({ pages: "1.5", tags: "[", order: { weight: "heavy" } });
  expect(Object.keys(errors).sort()).toEqual(["order.id", "order.weight", "pages", "tags", "url"]);
  expect(filled({ url: "x", order: { id: "1" }, pages: "0" }).errors).toEqual({ pages: "is below 1" });
});

test("what is wrong inside a value that is typed as one text is said with its path", () => {
  const errors = { "guests.0.name": "missing required parameter: guests.0.name", "guests.1.age": "\"old\" is not an integer", name: "is required" };
  expect(within(errors, "guests")).toBe('missing required parameter: guests.0.name; guests.1.age: "old" is not an integer');
  expect(within(errors, "guest")).toBeUndefined();
  expect(within(errors, "name")).toBeUndefined();
});
