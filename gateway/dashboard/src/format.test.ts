import { expect, test } from "vitest";
import { ago, bytes, count, duration, rate, shortId } from "./format";

test("numbers stay short and exact where they can", () => {
  expect([0, 1204, 99_999, 100_000, 123_456, 999_499, 999_500, 3_400_000, 2e9].map(count)).toEqual(
    ["0", "1,204", "99,999", "100k", "123k", "999k", "1M", "3.4M", "2G"],
  );
  expect([0, 0.44, 12.4].map(rate)).toEqual(["0/s", "0.4/s", "12/s"]);
  expect([12, 1536, 5 << 20].map(bytes)).toEqual(["12 B", "1.5 KiB", "5.0 MiB"]);
});

test("durations never show 60 of a unit", () => {
  expect([0.42, 12.4, 999.6, 9_994, 9_996, 59_949, 59_960, 3_599_600, 90_000_000, 273_600_000].map(duration)).toEqual(
    ["0.4 ms", "12 ms", "1000 ms", "9.99 s", "10.0 s", "59.9 s", "1 min 00 s", "1 h 00 min", "25 h 00 min", "3 d 4 h"],
  );
});

test("a clock that is ahead of ours shows now, not the future", () => {
  const now = Date.parse("2026-01-01T00:00:00Z");
  expect(ago("2026-01-01T00:00:05Z", now)).toBe("now");
  expect(ago("2025-12-31T23:59:18Z", now)).toBe("42 s");
  expect(ago("2025-12-30T00:00:00Z", now)).toBe("2 d");
});

test("short ids keep both ends", () => {
  expect(shortId("0197e3a2-1170-7d3a-9a51-6f1e8b0c2d4e")).toBe("0197e3a2…8b0c2d4e");
  expect(shortId("order-1")).toBe("order-1");
});
