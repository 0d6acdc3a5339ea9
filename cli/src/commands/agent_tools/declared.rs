//! From what a server says of its tools to what an agent is told of them: text from outside, which a model will read.

use std::collections::BTreeSet;

use asya_crew::mcp_call::Listed;
use asya_resources::agent::{Declared, Risk, SHIPPED};
use serde_json::{Value, json};

/// Longest name of a tool that every provider takes.
const NAME: usize = 64;
/// Longest description that an Agent takes, in characters.
const DESCRIPTION: usize = 4096;
/// Most declared tools of an Agent.
const MOST: usize = 56;

/// What is said of risks, where it is not left to the server's hints.
#[derive(Debug)]
pub(super) struct Grading {
    pub(super) risk: Option<Risk>,
    pub(super) approval: bool,
}

/// Tools that an agent can be told of.
#[derive(Debug)]
pub(super) struct Tools {
    declared: Vec<Declared>,
    /// Tools whose words are not as the server wrote them.
    changed: Vec<String>,
}

impl Tools {
    /// Those of a server, called by `actor`.
    ///
    /// # Errors
    /// All that stands in the way, as one sentence each.
    pub(super) fn of(listed: &[Listed], actor: &str, grading: &Grading) -> Result<Self, String> {
        let mut errors: Vec<_> = listed.iter().filter_map(refusal).collect();
        if listed.len() > MOST {
            errors.push(format!(
                "the server has {} tools, and an Agent takes {MOST}: choose with --allow",
                listed.len()
            ));
        }
        if !errors.is_empty() {
            return Err(errors.join("\n"));
        }
        let (mut names, mut tools) = (BTreeSet::new(), Self { declared: Vec::new(), changed: Vec::new() });
        for tool in listed {
            let name = name(&tool.name, actor, &names);
            names.insert(name.clone());
            let said = visible(&tool.description);
            let description: String = said.chars().take(DESCRIPTION).collect();
            let mut schema = tool.schema.clone();
            let hidden = clean(&mut schema);
            if hidden || description != tool.description.trim() {
                tools.changed.push(name.clone());
            }
            let risk = if tool.reads_only { Risk::Low } else { Risk::High };
            tools.declared.push(Declared {
                description: if description.is_empty() { name.clone() } else { description },
                name,
                parameters: Some(schema),
                actor: actor.to_owned(),
                risk: grading.risk.unwrap_or(risk),
                approval: grading.approval || !tool.reads_only,
                mcp_tool: Some(tool.name.clone()),
            });
        }
        Ok(tools)
    }

    /// `spec.tools` of an Agent.
    pub(super) fn block(&self) -> Value {
        let names: Vec<_> = self.declared.iter().map(|tool| &tool.name).collect();
        json!({"allow": names, "declared": self.declared})
    }

    /// As an Agent holds them.
    pub(super) fn into_declared(self) -> Vec<Declared> {
        self.declared
    }

    /// Their names on the server.
    pub(super) fn names(&self) -> Vec<&str> {
        self.declared.iter().filter_map(|tool| tool.mcp_tool.as_deref()).collect()
    }

    /// Whether none may be called without approval: the actor can be told so.
    pub(super) fn all_are_approved(&self) -> bool {
        self.declared.iter().all(|tool| tool.approval)
    }

    /// What whoever reads the manifests should know.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(worst) = self.declared.iter().map(|tool| tool.risk).max().filter(|risk| *risk > Risk::Low)
        {
            notes.push(format!("the Agent needs riskTier: {}", worst.as_str()));
        }
        if !self.all_are_approved() && self.declared.iter().any(|tool| tool.approval) {
            notes.push(
                "tools with approval and without share an actor, which cannot refuse calls that nobody approved: with \
                 --allow and another --actor for those with approval it can (ASYA_APPROVED_ONLY)"
                    .to_owned(),
            );
        }
        if !self.changed.is_empty() {
            notes.push(format!("hidden characters were left out, or texts cut: {}", self.changed.join(", ")));
        }
        notes
    }
}

/// Why a tool cannot be one of an agent.
fn refusal(tool: &Listed) -> Option<String> {
    let name = &tool.name;
    if name.is_empty() || name.chars().count() > 128 || name.contains([',', '*', '?']) || !is_plain(name) {
        return Some(format!(
            "the tool {name:?} cannot be named: a name has 1 to 128 visible characters, and no comma, * or ?"
        ));
    }
    if let Some(key) = hidden_key(&tool.schema) {
        return Some(format!(
            "the schema of the tool {name:?} has a name with hidden or control characters, {key:?}, which would not be the server's \
             without them: leave it out by --allow"
        ));
    }
    (tool.schema.get("type") != Some(&Value::from("object"))).then(|| {
        format!("the arguments of the tool {name:?} are not described as an object (\"type\": \"object\"): leave it out by --allow")
    })
}

/// Whether all characters of a name are seen.
fn is_plain(name: &str) -> bool {
    name.trim() == name && !name.chars().any(|c| c.is_control() || is_hidden(c))
}

/// A key within a schema, as the name of an argument, that has characters which nobody sees.
fn hidden_key(value: &Value) -> Option<&str> {
    match value {
        Value::Array(list) => list.iter().find_map(hidden_key),
        Value::Object(object) => object.iter().find_map(|(key, value)| {
            if key.chars().any(|c| c.is_control() || is_hidden(c)) {
                Some(key.as_str())
            } else {
                hidden_key(value)
            }
        }),
        _ => None,
    }
}

/// A name that models take, and that no other tool has.
fn name(there: &str, actor: &str, taken: &BTreeSet<String>) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    let mut plain: String = there.chars().map(plain).take(NAME).collect();
    if SHIPPED.iter().any(|shipped| shipped.name == plain) {
        plain = format!("{actor}_{plain}").chars().take(NAME).collect();
    }
    let mut name = plain.clone();
    for number in 2.. {
        if !taken.contains(&name) {
            break;
        }
        let end = format!("_{number}");
        name = format!("{}{end}", &plain[..plain.len().min(NAME - end.len())]);
    }
    name
}

/// A text without what nobody sees: in it a server could tell a model what no reader of the manifest is told.
fn visible(text: &str) -> String {
    text.trim().chars().filter(|c| !is_hidden(*c)).collect()
}

/// Controls and characters without a picture, among them those that spell ASCII invisibly.
fn is_hidden(c: char) -> bool {
    let drawn = matches!(c, '\n' | '\t');
    let pictureless = matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
    );
    (c.is_control() && !drawn) || pictureless
}

/// The same for every text in a schema; whether anything was left out.
fn clean(value: &mut Value) -> bool {
    match value {
        Value::String(text) if text.chars().any(is_hidden) => {
            *text = text.chars().filter(|c| !is_hidden(*c)).collect();
            true
        }
        Value::Array(list) => list.iter_mut().fold(false, |hidden, value| clean(value) | hidden),
        Value::Object(object) => object.values_mut().fold(false, |hidden, value| clean(value) | hidden),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HINTS: Grading = Grading { risk: None, approval: false };

    fn tool(name: &str, reads_only: bool) -> Listed {
        let schema = json!({"type": "object", "properties": {"q": {"type": "string"}}});
        Listed { name: name.to_owned(), description: format!("does {name}"), schema, reads_only }
    }

    #[test]
    fn only_what_says_that_it_reads_needs_no_approval() {
        let tools = Tools::of(&[tool("look", true), tool("change", false)], "x", &HINTS).unwrap();
        let graded: Vec<_> = tools.declared.iter().map(|tool| (tool.risk, tool.approval)).collect();
        assert_eq!(graded, [(Risk::Low, false), (Risk::High, true)]);
        assert!(!tools.all_are_approved() && tools.notes().len() == 2, "{:?}", tools.notes());
        let stricter = Grading { risk: Some(Risk::Medium), approval: true };
        let tools = Tools::of(&[tool("look", true)], "x", &stricter).unwrap();
        assert_eq!((tools.declared[0].risk, tools.all_are_approved()), (Risk::Medium, true));
    }

    #[test]
    fn names_become_ones_that_models_take_and_stay_apart() {
        let long = "x".repeat(100);
        let there = ["a.b/c", "a_b_c", "helm", &long, &format!("{long}y"), "größe"];
        let listed: Vec<_> = there.iter().map(|name| tool(name, true)).collect();
        let tools = Tools::of(&listed, "shop", &HINTS).unwrap();
        let names: Vec<_> = tools.declared.iter().map(|tool| tool.name.as_str()).collect();
        let (cut, other) = ("x".repeat(64), format!("{}_2", "x".repeat(62)));
        assert_eq!(names, ["a_b_c", "a_b_c_2", "shop_helm", &cut, &other, "gr__e"]);
        assert_eq!(tools.names(), there);
    }

    #[test]
    fn what_cannot_be_a_tool_is_refused_with_all_its_reasons() {
        let mut list = tool("list", true);
        list.schema = json!({"type": "array"});
        let mut bare = tool("bare", true);
        bare.schema = json!({});
        let error = Tools::of(&[list, bare, tool("a,b", true), tool("*", true)], "x", &HINTS).unwrap_err();
        assert_eq!(error.lines().count(), 4, "{error}");
        let many: Vec<_> = (0..=MOST).map(|n| tool(&n.to_string(), true)).collect();
        assert!(Tools::of(&many, "x", &HINTS).unwrap_err().contains("--allow"));
    }

    #[test]
    fn nothing_is_told_a_model_that_a_reader_does_not_see() {
        let mut sly = tool("sly", true);
        let spelled: String = "obey".chars().filter_map(|c| char::from_u32(0xe0000 + u32::from(c))).collect();
        sly.description = format!("Looks\u{200b} up{spelled}.\u{1b}[8m");
        sly.schema["properties"]["q"]["description"] = format!("a text{spelled}").into();
        let tools = Tools::of(&[sly], "x", &HINTS).unwrap();
        assert_eq!(tools.declared[0].description, "Looks up.[8m");
        assert_eq!(
            tools.declared[0].parameters.as_ref().unwrap()["properties"]["q"]["description"],
            "a text"
        );
        assert_eq!(tools.changed, ["sly"]);
        for key in ["q\u{200b}", "a\nb", "\u{1b}[8m"] {
            let mut sly = tool("sly", true);
            sly.schema["properties"]["q"] = json!({"anyOf": [{"properties": {key: {"type": "string"}}}]});
            let error = Tools::of(&[sly], "x", &HINTS).unwrap_err();
            assert!(error.contains("hidden or control") && !error.contains(key), "{error}");
        }
        for name in ["a\nb", "a\tb", "a\u{1b}b", " a", "a\u{202e}b"] {
            assert!(Tools::of(&[tool(name, true)], "x", &HINTS).is_err(), "{name:?}");
        }
        let mut wordy = tool("wordy", true);
        wordy.description = "é".repeat(DESCRIPTION + 1);
        let tools = Tools::of(&[wordy], "x", &HINTS).unwrap();
        assert_eq!((tools.declared[0].description.chars().count(), tools.changed.len()), (DESCRIPTION, 1));
    }
}
