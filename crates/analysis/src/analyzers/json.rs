//! Reading objects whose kind this program has no type for. What is missing or of another type is not there.

use serde_json::Value;

/// The items of the list at `pointer`, with their indexes.
pub(crate) fn items<'a>(
    value: &'a Value,
    pointer: &str,
) -> impl Iterator<Item = (usize, &'a Value)> + use<'a> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten().enumerate()
}

/// The string at `pointer`, if it is not empty.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str().filter(|text| !text.is_empty())
}

/// The number at `pointer`.
pub(crate) fn number(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer)?.as_i64()
}

/// A pointer as kubectl writes paths: `/status/listeners/0/name` is `.status.listeners[0].name`.
pub(crate) fn path(pointer: &str) -> String {
    pointer.split('/').skip(1).fold(String::new(), |path, step| {
        if step.parse::<usize>().is_ok() { format!("{path}[{step}]") } else { format!("{path}.{step}") }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_of_another_type_is_not_there() {
        let value = json!({"list": 7, "name": "", "port": "80", "good": [{"name": "a"}]});
        assert_eq!(items(&value, "/list").count() + items(&value, "/none").count(), 0);
        assert_eq!(
            (text(&value, "/name"), text(&value, "/list"), number(&value, "/port")),
            (None, None, None)
        );
        assert_eq!(
            items(&value, "/good").next().map(|(n, item)| (n, text(item, "/name"))),
            Some((0, Some("a")))
        );
        assert_eq!(path("/status/listeners/0/name"), ".status.listeners[0].name");
    }
}
