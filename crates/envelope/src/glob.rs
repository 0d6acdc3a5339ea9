//! Globs over actor names: `*` is any text, `?` any one character.

/// True when `text` matches `glob` as a whole.
pub fn matches(glob: &str, text: &str) -> bool {
    let (glob, text) = (glob.as_bytes(), text.as_bytes());
    let (mut g, mut t) = (0, 0);
    // Where the last `*` stands and how much it covers so far: on a mismatch it covers one more.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if glob.get(g) == Some(&b'*') {
            star = Some((g, t));
            g += 1;
        } else if glob.get(g).is_some_and(|&c| c == b'?' || c == text[t]) {
            g += 1;
            t += 1;
        } else if let Some((at, covered)) = star {
            star = Some((at, covered + 1));
            g = at + 1;
            t = covered + 1;
        } else {
            return false;
        }
    }
    glob[g..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_names() {
        for (glob, text, expected) in [
            ("*", "", true),
            ("*", "ocr", true),
            ("tool-*", "tool-search", true),
            ("tool-*", "my-tool-search", false),
            ("*-v?", "ocr-v2", true),
            ("*-v?", "ocr-v12", false),
            ("a*b*c", "axxbyybzc", true),
            ("a*b*c", "axxbyy", false),
            ("ocr", "ocr", true),
            ("ocr", "ocr2", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(matches(glob, text), expected, "{glob} {text}");
        }
    }
}
