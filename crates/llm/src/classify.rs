//! What a provider's refusal means: status, headers and body of all known formats to one [`Error`].
//!
//! Bodies: OpenAI `{"error":{"message","type","code"}}`, Anthropic `{"type":"error","error":{"type","message"}}`, Gemini
//! `{"error":{"status","message","details"}}`, vLLM `{"object":"error","message","type"}`, Ollama `{"error":"text"}`,
//! FastAPI `{"detail": ...}`, and pages of proxies.

use std::time::{Duration, SystemTime};

use hyper::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::{
    error::{Error, Kind},
    retry,
};

/// The error that an answer with a status other than 2xx is.
pub(crate) fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let text = String::from_utf8_lossy(body);
    let value: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let said = Said::read(&value, &text);
    let after = retry::told(headers, SystemTime::now()).or(said.after);
    let kind = kind(status, &said, after);
    let words = if said.message.is_empty() { "no words" } else { said.message.as_str() };
    let detail = match headers.get(hyper::header::LOCATION).and_then(|to| to.to_str().ok()) {
        Some(to) if status.is_redirection() => {
            format!("{status}: it redirects to {to}, which is not followed")
        }
        _ => format!("{status}: {words}"),
    };
    Error::new(kind, detail)
}

/// The error that stands inside a stream, or in a body with status 200.
pub(crate) fn inside(value: &Value) -> Error {
    let said = Said::read(value, "");
    let status = said.status.unwrap_or(match said.word.as_str() {
        "authentication_error" | "permission_error" => StatusCode::UNAUTHORIZED,
        "rate_limit_error" | "rate_limit_exceeded" | "throttlingException" => StatusCode::TOO_MANY_REQUESTS,
        "invalid_request_error" | "not_found_error" | "validationException" => StatusCode::BAD_REQUEST,
        "request_too_large" => StatusCode::PAYLOAD_TOO_LARGE,
        "timeout_error" => StatusCode::REQUEST_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    });
    let kind = kind(status, &said, said.after);
    let words = if said.message.is_empty() { said.word } else { said.message };
    Error::new(kind, words)
}

fn kind(status: StatusCode, said: &Said, after: Option<Duration>) -> Kind {
    match status.as_u16() {
        _ if said.is_spent() => Kind::Quota,
        400 if said.word == "API_KEY_INVALID" || said.has(&["api key not valid"]) => Kind::Auth,
        401 | 403 | 407 => Kind::Auth,
        402 => Kind::Quota,
        413 => Kind::TooLong,
        429 => Kind::RateLimited { after },
        408 | 409 | 425 | 500.. => Kind::Unavailable { after },
        400..=499 if said.is_too_long() => Kind::TooLong,
        400..=499 if said.is_refusal() => Kind::Refused,
        _ => Kind::BadRequest,
    }
}

/// What a body says, whatever its format.
#[derive(Debug, Default)]
struct Said {
    message: String,
    /// Code, type or status: the most exact word there is.
    word: String,
    status: Option<StatusCode>,
    after: Option<Duration>,
}

impl Said {
    fn read(value: &Value, text: &str) -> Self {
        // Gemini's streams wrap errors in an array.
        let value = value.get(0).unwrap_or(value);
        let error = value.get("error").filter(|error| !error.is_null()).unwrap_or(value);
        let word = |key: &str| error.get(key).and_then(Value::as_str).filter(|word| !word.is_empty());
        let details = error.get("details").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let reason = details.iter().find_map(|detail| detail.get("reason").and_then(Value::as_str));
        let delay = details.iter().find_map(|detail| detail.get("retryDelay").and_then(Value::as_str));
        let message = match (error, word("message"), error.get("detail")) {
            (Value::String(message), ..) => message.clone(),
            (_, Some(message), _) => message.to_owned(),
            (_, None, Some(Value::String(detail))) => detail.clone(),
            (_, None, Some(detail)) => detail.to_string(),
            _ => text.to_owned(),
        };
        Self {
            message,
            word: reason.or(word("code")).or(word("type")).or(word("status")).unwrap_or_default().to_owned(),
            status: error
                .get("code")
                .and_then(Value::as_u64)
                .and_then(|code| StatusCode::from_u16(u16::try_from(code).ok()?).ok())
                .filter(|status| status.is_client_error() || status.is_server_error()),
            after: delay.and_then(|delay| asya_settings::units::duration(delay).ok()),
        }
    }

    fn has(&self, words: &[&str]) -> bool {
        let message = self.message.to_lowercase();
        words.iter().any(|word| message.contains(word))
    }

    fn is_spent(&self) -> bool {
        matches!(self.word.as_str(), "insufficient_quota" | "billing_hard_limit_reached" | "billing_error")
            || self.has(&["credit balance is too low", "exceeded your current quota, please check your plan"])
                && self.after.is_none()
    }

    fn is_too_long(&self) -> bool {
        matches!(
            self.word.as_str(),
            "context_length_exceeded" | "string_above_max_length" | "request_too_large"
        ) || self.has(&[
            "context length",
            "context window",
            "context size",
            "prompt is too long",
            "input is too long",
            "too many tokens",
            "exceeds the maximum number of tokens",
            "reduce the length",
        ])
    }

    fn is_refusal(&self) -> bool {
        matches!(
            self.word.as_str(),
            "content_filter" | "content_policy_violation" | "ResponsibleAIPolicyViolation"
        ) || self.has(&["content management policy", "content filter"])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(status: u16, body: &Value) -> Kind {
        refusal(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.to_string().as_bytes()).kind
    }

    #[test]
    fn refusals_of_every_format_are_told_apart() {
        let openai =
            |code: &str, message: &str| json!({"error": {"message": message, "type": "x", "code": code}});
        let anthropic =
            |word: &str, message: &str| json!({"type": "error", "error": {"type": word, "message": message}});
        let now = Kind::RateLimited { after: None };
        let down = Kind::Unavailable { after: None };
        for (status, body, kind) in [
            (401, openai("invalid_api_key", "Incorrect API key provided"), Kind::Auth),
            (403, openai("unsupported_country_region_territory", "no"), Kind::Auth),
            (429, openai("rate_limit_exceeded", "Rate limit reached for gpt-4o-mini"), now.clone()),
            (429, openai("insufficient_quota", "You exceeded your current quota"), Kind::Quota),
            (400, openai("context_length_exceeded", "This model's maximum"), Kind::TooLong),
            (400, openai("content_filter", "The response was filtered"), Kind::Refused),
            (404, openai("model_not_found", "The model `x` does not exist"), Kind::BadRequest),
            (
                400,
                anthropic("invalid_request_error", "prompt is too long: 210000 tokens > 200000"),
                Kind::TooLong,
            ),
            (400, anthropic("invalid_request_error", "Your credit balance is too low"), Kind::Quota),
            (413, anthropic("request_too_large", "Request exceeds the maximum size"), Kind::TooLong),
            (529, anthropic("overloaded_error", "Overloaded"), down.clone()),
            (
                400,
                json!({"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.",
                    "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}}),
                Kind::Auth,
            ),
            (
                429,
                json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "34s"}],
                    "message": "You exceeded your current quota, please check your plan and billing details."}}),
                Kind::RateLimited { after: Some(Duration::from_secs(34)) },
            ),
            (400, json!({"object": "error", "message": "maximum context length is 4096"}), Kind::TooLong),
            (404, json!({"error": "model \"llama3\" not found, try pulling it first"}), Kind::BadRequest),
            (
                422,
                json!({"detail": [{"loc": ["body", "messages"], "msg": "field required"}]}),
                Kind::BadRequest,
            ),
            (402, json!({"error": {"message": "Payment required"}}), Kind::Quota),
            (408, json!({}), down.clone()),
            (500, json!("boom"), down.clone()),
            (503, json!(null), down),
            (302, json!({}), Kind::BadRequest),
        ] {
            assert_eq!(of(status, &body), kind, "{status} {body}");
        }
    }

    #[test]
    fn the_words_of_the_provider_are_kept_in_every_format() {
        for (body, words) in [
            (r#"{"error":{"message":"no such model"}}"#, "404 Not Found: no such model"),
            (r#"{"error":"no such model"}"#, "404 Not Found: no such model"),
            (r#"{"detail":"no such model"}"#, "404 Not Found: no such model"),
            ("<html>nginx</html>", "404 Not Found: <html>nginx</html>"),
            ("", "404 Not Found: no words"),
        ] {
            let error = refusal(StatusCode::NOT_FOUND, &HeaderMap::new(), body.as_bytes());
            assert_eq!(error.detail, words, "{body}");
        }
    }

    #[test]
    fn a_redirect_names_where_it_leads() {
        let mut headers = HeaderMap::new();
        headers.insert("location", "https://elsewhere/".parse().unwrap());
        let error = refusal(StatusCode::MOVED_PERMANENTLY, &headers, b"");
        assert_eq!(error.kind, Kind::BadRequest);
        assert!(error.detail.contains("https://elsewhere/"), "{error}");
    }

    #[test]
    fn errors_inside_a_stream_are_told_apart() {
        let down = Kind::Unavailable { after: None };
        for (body, kind) in [
            (
                json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
                down.clone(),
            ),
            (
                json!({"error": {"type": "rate_limit_error", "message": "slow"}}),
                Kind::RateLimited { after: None },
            ),
            (json!({"error": {"message": "boom", "type": "server_error"}}), down),
            (
                json!([{"error": {"code": 400, "message": "bad", "status": "INVALID_ARGUMENT"}}]),
                Kind::BadRequest,
            ),
        ] {
            assert_eq!(inside(&body).kind, kind, "{body}");
        }
    }
}
