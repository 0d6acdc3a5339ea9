//! The arguments of a tool, as its JSON Schema declares them.

use serde_json::{Map, Value};

/// What a value is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
    Integer,
    Boolean,
    Object,
    Array,
    /// The schema does not say, or says several.
    Any,
}

impl Kind {
    fn of(schema: &Value) -> Self {
        match schema["type"].as_str() {
            Some("string") => Self::Text,
            Some("number") => Self::Number,
            Some("integer") => Self::Integer,
            Some("boolean") => Self::Boolean,
            Some("object") => Self::Object,
            Some("array") => Self::Array,
            _ => Self::Any,
        }
    }

    /// For people.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "a number",
            Self::Integer => "a whole number",
            Self::Boolean => "true or false",
            Self::Object => "a JSON object",
            Self::Array => "a list",
            Self::Any => "JSON or text",
        }
    }

    /// In a line of usage.
    fn placeholder(self) -> &'static str {
        match self {
            Self::Text => "TEXT",
            Self::Number => "NUMBER",
            Self::Integer => "INTEGER",
            Self::Boolean => "true|false",
            Self::Object => "JSON",
            Self::Array | Self::Any => "VALUE",
        }
    }
}

/// One argument.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    /// Its name in the schema.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Of arrays: what they hold.
    pub(crate) items: Kind,
    pub(crate) required: bool,
    description: String,
    default: Option<Value>,
    /// The values it may have; empty: any.
    pub(crate) options: Vec<Value>,
}

impl Parameter {
    /// As it is typed.
    pub(crate) fn flag(&self) -> String {
        format!("--{}", self.name)
    }

    fn usage(&self) -> String {
        let kind = if self.kind == Kind::Array { self.items } else { self.kind };
        let flag = match kind {
            Kind::Boolean if self.kind == Kind::Boolean => self.flag(),
            kind => format!("{} {}", self.flag(), kind.placeholder()),
        };
        let flag = if self.kind == Kind::Array { format!("{flag}…") } else { flag };
        if self.required { flag } else { format!("[{flag}]") }
    }

    fn help(&self) -> String {
        let mut about = Vec::new();
        if !self.description.is_empty() {
            about.push(self.description.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        if self.required {
            about.push("(required)".to_owned());
        }
        if self.kind == Kind::Array {
            about.push("(may be repeated)".to_owned());
        }
        if !self.options.is_empty() {
            about.push(format!("[one of: {}]", listed(&self.options)));
        }
        if let Some(default) = &self.default {
            about.push(format!("[default: {}]", plain(default)));
        }
        about.join(" ")
    }
}

/// The arguments of one tool.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parameters(pub(crate) Vec<Parameter>);

impl Parameters {
    /// Those of a schema: required ones first, then by name.
    pub(crate) fn of(schema: &Map<String, Value>) -> Self {
        let required = schema.get("required").and_then(Value::as_array);
        let required = |name: &str| required.is_some_and(|names| names.iter().any(|other| other == name));
        let members = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let mut parameters: Vec<_> = members
            .map(|(name, schema)| Parameter {
                kind: Kind::of(schema),
                items: Kind::of(&schema["items"]),
                required: required(name),
                description: schema["description"].as_str().unwrap_or_default().to_owned(),
                default: schema.get("default").cloned(),
                options: schema["enum"].as_array().cloned().unwrap_or_default(),
                name: name.clone(),
            })
            .collect();
        parameters.sort_by_key(|parameter| (!parameter.required, parameter.name.clone()));
        Self(parameters)
    }

    /// The one of this name; underscores may be typed as dashes.
    pub(crate) fn get(&self, typed: &str) -> Option<&Parameter> {
        let exact = self.0.iter().find(|parameter| parameter.name == typed);
        exact.or_else(|| {
            let mut alike = self.0.iter().filter(|parameter| dashed(&parameter.name) == dashed(typed));
            alike.next().filter(|_| alike.next().is_none())
        })
    }

    /// One line: how they are typed.
    pub(crate) fn usage(&self) -> String {
        self.0.iter().map(Parameter::usage).collect::<Vec<_>>().join(" ")
    }

    /// One line each: what they mean.
    pub(crate) fn help(&self) -> String {
        let names: Vec<_> =
            self.0.iter().map(|parameter| parameter.usage().replace(['[', ']'], "")).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let lines = names.iter().zip(&self.0).map(|(name, parameter)| {
            format!("  {name:<width$}  {}", parameter.help()).trim_end().to_owned() + "\n"
        });
        lines.collect()
    }
}

fn dashed(name: &str) -> String {
    name.replace('_', "-")
}

/// Values for people.
pub(crate) fn listed(values: &[Value]) -> String {
    values.iter().map(plain).collect::<Vec<_>>().join(", ")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
