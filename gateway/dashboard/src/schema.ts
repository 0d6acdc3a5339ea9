// Forms from JSON Schema: what a tool's parameters look like as fields, and what the fields say as arguments.

import type { Json, Schema } from "./api";

export type Kind = "text" | "number" | "integer" | "boolean" | "choice" | "object" | "json";

export interface Field {
  name: string;
  kind: Kind;
  required: boolean;
  description: string;
  initial: Json | undefined;
  options: Json[];
  schema: Schema;
  /** Of an object with known members. */
  fields: Field[];
}

/** Text as typed, `true`/`false`, the index of a choice as text, or the members of an object. `undefined`: left alone. */
export type Draft = string | boolean | undefined | { [name: string]: Draft };

function kindOf(schema: Schema): Kind {
  if (schema.enum && schema.enum.length > 0) return "choice";
  switch (Array.isArray(schema.type) ? schema.type.find((type) => type !== "null") : schema.type) {
    case "string":
      return "text";
    case "number":
      return "number";
    case "integer":
      return "integer";
    case "boolean":
      return "boolean";
    case "object":
      return schema.properties && Object.keys(schema.properties).length > 0 ? "object" : "json";
    default:
      return "json";
  }
}

/** The members of an object schema, required ones first, else in the schema's order. */
export function fields(schema: Schema): Field[] {
  const required = new Set(schema.required ?? []);
  const all = Object.entries(schema.properties ?? {}).map(([name, member]): Field => {
    const kind = kindOf(member);
    return {
      name,
      kind,
      required: required.has(name),
      description: member.description ?? "",
      initial: member.default,
      options: member.enum ?? [],
      schema: member,
      fields: kind === "object" ? fields(member) : [],
    };
  });
  return [...all.filter((field) => field.required), ...all.filter((field) => !field.required)];
}

/** What a form shows before anything was typed. */
export function draft(field: Field): Draft {
  if (field.kind === "object") {
    const given = field.initial as Record<string, Json> | undefined;
    return Object.fromEntries(
      field.fields.map((member) => [member.name, draft({ ...member, initial: given?.[member.name] ?? member.initial })]),
    );
  }
  if (field.initial === undefined) return undefined;
  if (field.kind === "boolean") return field.initial === true;
  if (field.kind === "choice") {
    const index = field.options.findIndex((option) => JSON.stringify(option) === JSON.stringify(field.initial));
    return index < 0 ? undefined : String(index);
  }
  if (field.kind === "json") return JSON.stringify(field.initial, null, 2);
  return String(field.initial);
}

export interface Outcome {
  value: Json | undefined;
  /** By path, as the gateway names fields: `order.items`. */
  errors: Record<string, string>;
}

/** Reads one field. A value that is left out and not required is no error and is not sent: the gateway knows defaults. */
export function read(field: Field, given: Draft, path = field.name): Outcome {
  if (field.kind === "object") {
    const members = typeof given === "object" ? given : {};
    const value: Record<string, Json> = {};
    const errors: Record<string, string> = {};
    for (const member of field.fields) {
      const outcome = read(member, members[member.name], `${path}.${member.name}`);
      if (outcome.value !== undefined) value[member.name] = outcome.value;
      Object.assign(errors, outcome.errors);
    }
    if (!field.required && Object.keys(value).length === 0) return { value: undefined, errors: {} };
    return { value, errors };
  }
  const fail = (reason: string): Outcome => ({ value: undefined, errors: { [path]: reason } });
  if (given === undefined || given === "") {
    if (field.required && field.kind === "boolean") return { value: false, errors: {} };
    return field.required ? fail("is required") : { value: undefined, errors: {} };
  }
  if (typeof given === "boolean") return { value: given, errors: {} };
  const text = String(given);
  switch (field.kind) {
    case "number":
    case "integer": {
      const number = Number(text);
      if (text.trim() === "" || !Number.isFinite(number)) return fail("is not a number");
      if (field.kind === "integer" && !Number.isInteger(number)) return fail("is not a whole number");
      const { minimum, maximum } = field.schema;
      if (minimum !== undefined && number < minimum) return fail(`is below ${minimum}`);
      if (maximum !== undefined && number > maximum) return fail(`is above ${maximum}`);
      return { value: number, errors: {} };
    }
    case "choice":
      return { value: field.options[Number(text)], errors: {} };
    case "json":
      try {
        return { value: JSON.parse(text) as Json, errors: {} };
      } catch (error) {
        return fail(`is not JSON: ${(error as Error).message}`);
      }
    default:
      return { value: text, errors: {} };
  }
}

/** Reads a whole form. */
export function readAll(all: Field[], drafts: Record<string, Draft>): { value: Record<string, Json>; errors: Record<string, string> } {
  const value: Record<string, Json> = {};
  const errors: Record<string, string> = {};
  for (const field of all) {
    const outcome = read(field, drafts[field.name]);
    if (outcome.value !== undefined) value[field.name] = outcome.value;
    Object.assign(errors, outcome.errors);
  }
  return { value, errors };
}

/** What is wrong inside a value that is typed as one text: the gateway names it by its path, as in `guests.0.name`. */
export function within(errors: Record<string, string>, path: string): string | undefined {
  const inside = Object.entries(errors).filter(([name]) => name.startsWith(`${path}.`));
  const said = inside.map(([name, reason]) => (reason.includes(name) ? reason : `${name}: ${reason}`));
  return said.length > 0 ? said.join("; ") : undefined;
}
