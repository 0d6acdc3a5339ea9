//! Kubernetes' quantities, such as 500m, 2 or 1Gi.

/// Kubernetes' own pattern of a quantity.
pub(crate) const QUANTITY_PATTERN: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";

/// Whether a text is a quantity: what [`QUANTITY_PATTERN`] says, without a library for patterns.
pub(crate) fn is_quantity(text: &str) -> bool {
    let Some(unit) = after_number(text) else { return false };
    match unit.as_bytes() {
        []
        | [b'n' | b'u' | b'm' | b'k' | b'M' | b'G' | b'T' | b'P' | b'E']
        | [b'K' | b'M' | b'G' | b'T' | b'P' | b'E', b'i'] => true,
        [b'e' | b'E', ..] => after_number(&unit[1..]).is_some_and(str::is_empty),
        _ => false,
    }
}

/// What follows a sign and a decimal number; nothing if there is none.
fn after_number(text: &str) -> Option<&str> {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let whole = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest =
        whole.strip_prefix('.').map_or(whole, |part| part.trim_start_matches(|c: char| c.is_ascii_digit()));
    let digits = text.len() - rest.len() - usize::from(whole.starts_with('.'));
    (digits > 0).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_a_number_with_a_unit_of_kubernetes() {
        for right in ["0", "2", "-1", "+1.5", ".5", "1.", "500m", "1Gi", "100n", "3E", "1e3", "1E-3", "2.5Mi"]
        {
            assert!(is_quantity(right), "{right}");
        }
        for wrong in ["", ".", "-", "auto", "Gi", "1gi", "1 Gi", "1Gib", "1e", "1eG", "mi", "1K", "1e3m"] {
            assert!(!is_quantity(wrong), "{wrong}");
        }
    }
}
