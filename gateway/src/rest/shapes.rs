//! What the contract's routes answer, for their description.

use serde::Serialize;
use utoipa::ToSchema;

/// A `CallToolResult` of the Model Context Protocol.
#[derive(Debug, Serialize, ToSchema)]
pub struct ToolResult {
    /// One text.
    content: [Text; 1],
    /// True where the arguments are wrong: then the text says how.
    #[serde(rename = "isError", skip_serializing_if = "std::ops::Not::not")]
    wrong: bool,
}

/// A text of a tool's result.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ToolText)]
struct Text {
    /// Always `text`.
    r#type: &'static str,
    text: String,
}

impl ToolResult {
    /// The result with this text; `wrong`: it is about arguments.
    pub fn of(text: String, wrong: bool) -> Self {
        Self { content: [Text { r#type: "text", text }], wrong }
    }
}

/// A child is stored, or each of a list that is of a known family.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "it describes what is written where it is answered")]
pub struct Created {
    /// Always `created`.
    status: &'static str,
    /// The child, if it was one.
    id: Option<String>,
    /// How many are known, if it was a list.
    known: Option<usize>,
}

/// Whether an envelope is to be worked on.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "it describes what is written where it is answered")]
pub struct Active {
    active: bool,
    /// True where somebody has cancelled it.
    cancelled: Option<bool>,
}

/// A report is taken.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "it describes what is written where it is answered")]
pub struct Noted {
    /// Always `ok`.
    status: &'static str,
}

/// A report of progress is taken.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "it describes what is written where it is answered")]
pub struct Progressed {
    /// Always `ok`.
    status: &'static str,
    /// Progress after it.
    #[schema(minimum = 0, maximum = 100)]
    progress_percent: f64,
    /// True where somebody has cancelled it: nothing more of it is to be done.
    cancelled: Option<bool>,
}
