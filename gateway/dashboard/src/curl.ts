// A request as a line for the shell.

import type { Json } from "./api";

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** Sends the same payload along the same route again. The token comes from the reader's own environment. */
export function curl(base: string, route: string[], payload: Json, authenticated: boolean): string {
  const lines = [
    `curl -sS ${quote(`${base}/envelopes`)}`,
    ...(authenticated ? [`-H "Authorization: Bearer $ASYA_TOKEN"`] : []),
    `-H 'Content-Type: application/json'`,
    `-d ${quote(JSON.stringify({ route, payload }))}`,
  ];
  return lines.join(" \\\n  ");
}
