// A form made of fields: one control per kind, with its description and what is wrong with it.

import { within, type Draft, type Field } from "../schema";

interface Props {
  field: Field;
  path: string;
  value: Draft;
  errors: Record<string, string>;
  onChange: (value: Draft) => void;
}

export function FieldInput(props: Props) {
  const { field, path, value, errors, onChange } = props;
  const id = `field-${path}`;
  const error = errors[path] ?? (field.kind === "json" ? within(errors, path) : undefined);
  if (field.kind === "object") {
    const members = typeof value === "object" ? value : {};
    return (
      <fieldset>
        <legend>
          {field.name}
          {field.required && <Required />}
        </legend>
        {field.description && <p class="faint">{field.description}</p>}
        {field.fields.map((member) => (
          <FieldInput
            key={member.name}
            field={member}
            path={`${path}.${member.name}`}
            value={members[member.name]}
            errors={errors}
            onChange={(next) => onChange({ ...members, [member.name]: next })}
          />
        ))}
      </fieldset>
    );
  }
  const shared = {
    id,
    "aria-invalid": error !== undefined,
    "aria-describedby": `${id}-note`,
    "aria-required": field.required,
  };
  if (field.kind === "boolean") {
    return (
      <div class="field">
        <label class="check">
          <input {...shared} type="checkbox" checked={value === true} onChange={(event) => onChange(event.currentTarget.checked)} />
          <span>{field.name}</span>
        </label>
        <Note id={id} field={field} error={error} />
      </div>
    );
  }
  const text = value === undefined ? "" : String(value);
  return (
    <div class="field">
      <label for={id}>
        {field.name}
        {field.required && <Required />} <em>{hint(field)}</em>
      </label>
      {field.kind === "choice" ? (
        <select {...shared} value={text} onChange={(event) => onChange(event.currentTarget.value || undefined)}>
          <option value="">{field.required ? "choose" : "not given"}</option>
          {field.options.map((option, index) => (
            <option key={index} value={String(index)}>
              {typeof option === "string" ? option : JSON.stringify(option)}
            </option>
          ))}
        </select>
      ) : field.kind === "json" ? (
        <textarea {...shared} class="mono" rows={4} spellcheck={false} value={text} onInput={(event) => onChange(event.currentTarget.value)} />
      ) : field.kind === "text" ? (
        <textarea {...shared} rows={text.length > 80 || text.includes("\n") ? 4 : 1} value={text} onInput={(event) => onChange(event.currentTarget.value)} />
      ) : (
        <input {...shared} class="num" inputMode={field.kind === "integer" ? "numeric" : "decimal"} value={text} onInput={(event) => onChange(event.currentTarget.value)} />
      )}
      <Note id={id} field={field} error={error} />
    </div>
  );
}

function Required() {
  return (
    <span class="required" title="required" aria-hidden="true">
      {" "}
      *
    </span>
  );
}

function Note({ id, field, error }: { id: string; field: Field; error: string | undefined }) {
  return (
    <small id={`${id}-note`} class={error ? "problem-line" : "faint"}>
      {error ?? field.description}
    </small>
  );
}

function hint({ kind, schema }: Field): string {
  if (kind === "text" || kind === "choice") return "";
  if (kind !== "json") return kind;
  return schema.type === "array" ? `JSON list${schema.items?.type ? ` of ${String(schema.items.type)}` : ""}` : "JSON";
}
