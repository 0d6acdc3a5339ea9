import { expect, test } from "vitest";
import { logs } from "./logs";

test("a link to logs has everything filled in, escaped", () => {
  const at = "1970-01-01T00:02:00Z";
  expect(logs("https://l/?q={id}+{actor}&t={from}-{to}", "a&b#1", "ocr", at, at)).toBe("https://l/?q=a%26b%231+ocr&t=60000-180000");
  expect(logs("https://l/{other}/{id}/{id}", "7", "", at, at)).toBe("https://l/{other}/7/7");
});
