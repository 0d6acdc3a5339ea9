// The gateway's API below api/v1: its shapes, and the one function that calls it.

export type Status = "pending" | "running" | "succeeded" | "failed" | "unknown";
export type Role = "read" | "send" | "payload" | "chat" | "approve" | "admin";
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface Info {
  version: string;
  principal: { name: string; roles: Role[] };
  features?: string[];
  logs_url?: string;
}

export interface Actor {
  name: string;
  namespace?: string;
  queue: string;
  handler?: string;
  transport: string;
  status?: string;
  problems?: { condition: string; reason: string; message: string }[];
  paused?: boolean;
  ready?: number;
  desired?: number;
  min_replicas?: number;
  max_replicas?: number;
  queued?: number;
  in_flight?: number;
  dead?: number;
  next: string[];
  rate?: number;
}

export interface Summary {
  id: string;
  parent?: string;
  status: Status;
  code?: string;
  error?: string;
  message?: string;
  actors: string[];
  current: number;
  actor?: string;
  completed: number;
  percent: number;
  attempt: number;
  tool?: string;
  sender?: string;
  resubmit_of?: string;
  timeout_seconds?: number;
  deadline?: string;
  created: string;
  updated: string;
  ended?: string;
}

export interface Hop {
  actor: string;
  current?: number;
  started_at: string;
  ended_at?: string;
  duration_ms?: number;
  attempts: number;
  status: "received" | "processing" | "completed" | "failed";
}

export interface Envelope extends Summary {
  /** Payload, result and headers are shown. */
  contents: boolean;
  headers?: Json;
  payload?: Json;
  result?: Json;
  children: Counts;
  hops: Hop[];
}

export interface Update {
  seq: number;
  id: string;
  status: Status;
  message?: string;
  result?: Json;
  error?: string;
  percent?: number;
  actor?: string;
  actors?: string[];
  current?: number;
  step?: "received" | "processing" | "completed" | "retrying" | "failed" | "dropped";
  /** It came after the end and changes nothing; not in streams. */
  late?: boolean;
  attempt: number;
  duration_ms?: number;
  at: string;
}

export interface Counts {
  pending: number;
  running: number;
  succeeded: number;
  failed: number;
  unknown: number;
}

export interface Schema {
  type?: string | string[];
  title?: string;
  description?: string;
  default?: Json;
  enum?: Json[];
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  minimum?: number;
  maximum?: number;
}

export interface Tool {
  name: string;
  description: string;
  input_schema: Schema;
  route: string[];
  wait: number | null;
}

export interface Letter {
  id: string;
  /** What is on a broker's queue need not be an envelope. */
  envelope?: string;
  actor: string;
  code: string;
  error: string;
  attempts: number;
  source: "store" | "broker";
  since?: string;
  body?: Json;
  replayed_as?: string;
}

export interface Group {
  actor: string;
  code: string;
  count: number;
  first: string;
  last: string;
  sample: string;
}

export interface LetterFilter {
  /** Where they are; the store's are meant when nothing is said. */
  source?: "broker";
  actor?: string;
  code?: string;
  q?: string;
}

export interface Selection {
  ids?: string[];
  filter?: LetterFilter;
}

export interface Replayed {
  replayed: number;
  ids: string[];
  refused: { id: string; reason: string }[];
  /** There are more that fit: the gateway replays a bounded number at a time. */
  more: boolean;
  /** Of a broker's queues: those that were not there any more. */
  gone?: number;
  warnings?: string[];
}

export interface LetterPage {
  letters: Letter[];
  next?: string | null;
  /** What of the broker's queues could not be looked at, and why. */
  warnings?: string[];
}

export interface Sent {
  id: string;
}

export interface AuditEntry {
  number: number;
  at: string;
  who: string;
  action: string;
  envelope?: string;
  detail?: Json;
}

/** Why a call failed, in the gateway's own words. `status` 0: nobody answered. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly fields: { field: string; reason: string }[] = [],
  ) {
    super(detail);
  }
}

const TOKEN = "asya.token";
/** An answer that takes longer is taken for none; streams have no such limit. */
const PATIENCE_MS = 20_000;
/** Relative: the page works below any prefix of an ingress. */
export const BASE = "api/v1";

export function token(): string | null {
  return sessionStorage.getItem(TOKEN);
}

export function setToken(value: string | null): void {
  if (value) sessionStorage.setItem(TOKEN, value);
  else sessionStorage.removeItem(TOKEN);
}

export function authorization(): Record<string, string> {
  const bearer = token();
  return bearer ? { authorization: `Bearer ${bearer}` } : {};
}

type Listener = (error: Problem | null) => void;
const listeners = new Set<Listener>();

/** Told of every answer: `null` for a good one. The page learns here that the gateway is away or asks who we are. */
export function onAnswer(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function told(error: Problem | null): void {
  for (const listener of listeners) listener(error);
}

export async function problemOf(response: Response): Promise<Problem> {
  const text = await response.text();
  try {
    const body = JSON.parse(text) as { code?: string; detail?: string; errors?: { field: string; reason: string }[] };
    return new Problem(response.status, body.code ?? "error", body.detail ?? text, body.errors);
  } catch {
    // Something in between answered, or a route that speaks plain text.
    return new Problem(response.status, "error", text.trim().slice(0, 300) || response.statusText);
  }
}

type Query = Record<string, string | number | undefined>;

export function url(path: string, query: Query = {}): string {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
  const text = new URLSearchParams(pairs.map(([key, value]) => [key, String(value)])).toString();
  return `${BASE}${path}${text && `?${text}`}`;
}

/** Of a broker's queues a 503 says that the broker is away, not the gateway: the caller tells. */
async function ask(method: string, path: string, query?: Query, body?: unknown, signal?: AbortSignal, ofBroker = false): Promise<Response> {
  const patience = AbortSignal.timeout(PATIENCE_MS);
  let response: Response;
  try {
    response = await fetch(url(path, query), {
      method,
      headers: {
        accept: "application/json, application/problem+json, text/markdown",
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...authorization(),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: signal ? AbortSignal.any([signal, patience]) : patience,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    const away = new Problem(0, "away", "the gateway does not answer");
    told(away);
    throw away;
  }
  if (!response.ok) {
    const problem = await problemOf(response);
    if (!(ofBroker && response.status === 503)) told(problem);
    throw problem;
  }
  told(null);
  return response;
}

/** Calls the gateway for what it answers as JSON; nothing where it answers nothing. */
export async function call<T>(...request: Parameters<typeof ask>): Promise<T> {
  const response = await ask(...request);
  return (response.status === 204 ? undefined : await response.json()) as T;
}

/** Calls the gateway for a text. */
export async function callText(path: string): Promise<string> {
  return (await ask("GET", path)).text();
}

const at = (id: string): string => `/envelopes/${encodeURIComponent(id)}`;

export interface EnvelopeQuery extends Record<string, string | number | undefined> {
  status?: string;
  actor?: string;
  tool?: string;
  q?: string;
  parent?: string;
  since?: string;
  until?: string;
}

export const api = {
  info: (signal?: AbortSignal) => call<Info>("GET", "/info", {}, undefined, signal),
  actors: (signal?: AbortSignal) => call<{ actors: Actor[]; warnings?: string[] }>("GET", "/actors", {}, undefined, signal),
  counts: (signal?: AbortSignal) => call<Counts>("GET", "/counts", {}, undefined, signal),
  envelopes: (query: EnvelopeQuery, after: string | undefined, limit: number, signal?: AbortSignal) =>
    call<{ envelopes: Summary[]; next?: string | null }>("GET", "/envelopes", { ...query, after, limit }, undefined, signal),
  envelope: (id: string, signal?: AbortSignal) => call<Envelope>("GET", at(id), {}, undefined, signal),
  updates: (id: string, after: number, signal?: AbortSignal) =>
    call<{ updates: Update[] }>("GET", `${at(id)}/updates`, { after }, undefined, signal),
  send: (body: { route: string[]; payload: Json; timeout_seconds?: number }) =>
    call<Sent>("POST", "/envelopes", {}, body),
  cancel: (id: string, reason?: string) =>
    call<{ cancelled: string[] }>("POST", `${at(id)}/cancel`, {}, reason ? { reason } : {}),
  resubmit: (id: string, edits: { payload?: Json; route?: string[] }) =>
    call<Sent>("POST", `${at(id)}/resubmit`, {}, edits),
  tools: (signal?: AbortSignal) => call<{ tools: Tool[]; error?: string }>("GET", "/tools", {}, undefined, signal),
  callTool: (name: string, args: Json) =>
    call<Sent>("POST", `/tools/${encodeURIComponent(name)}`, { wait: 0 }, { arguments: args }),
  letters: (filter: LetterFilter, after: string | undefined, limit: number, signal?: AbortSignal) =>
    call<LetterPage>("GET", "/dead-letters", { ...filter, after, limit }, undefined, signal),
  letter: (id: string, signal?: AbortSignal) =>
    call<Letter>("GET", `/dead-letters/${encodeURIComponent(id)}`, {}, undefined, signal, id.startsWith("broker:")),
  groups: (signal?: AbortSignal) => call<{ groups: Group[] }>("GET", "/dead-letters/groups", {}, undefined, signal),
  replay: (chosen: Selection, edits: { payload?: Json; route?: string[] }) =>
    call<Replayed>("POST", "/dead-letters/replay", {}, { ...chosen, ...edits }),
  discard: (chosen: Selection) => call<{ deleted: number; warnings?: string[] }>("POST", "/dead-letters/delete", {}, chosen),
  audit: (after: string | undefined, limit: number, signal?: AbortSignal) =>
    call<{ entries: AuditEntry[]; next?: string | null }>("GET", "/audit", { after, limit }, undefined, signal),
};

/** Whether a principal may do what the role allows; `admin` contains the others. */
export function may(info: Info | null, role: Role): boolean {
  const roles = info?.principal.roles ?? [];
  return roles.includes(role) || roles.includes("admin");
}
