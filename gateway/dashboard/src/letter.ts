// What failed, back out of the error envelope that a dead letter holds; as the gateway's own replay does it.

import type { Json } from "./api";

export interface Original {
  route: string[];
  /** `undefined`: too large to have been kept whole, or never an envelope. */
  payload: Json | undefined;
}

type Members = { [key: string]: Json };
const members = (value: Json | undefined): Members | null =>
  value !== null && typeof value === "object" && !Array.isArray(value) ? value : null;

export function original(body: Json | undefined): Original | null {
  const envelope = members(body);
  const route = members(envelope?.["route"]);
  if (!envelope || !Array.isArray(route?.["actors"])) return null;
  const actors = route["actors"].map(String);
  const wrapper = members(envelope["payload"]);
  if (wrapper?.["error"] == null || !("original_payload" in wrapper)) return { route: actors, payload: envelope["payload"] };
  const encoding = members(wrapper["details"])?.["original_encoding"];
  return { route: actors, payload: encoding == null ? wrapper["original_payload"] : undefined };
}
