//! The text of an HTML page, as much as a model needs of it: no parser, for whatever is sent is looked at once from its
//! beginning to its end and becomes some text.

/// Elements whose content nobody reads.
const SILENT: [&str; 5] = ["script", "style", "noscript", "template", "svg"];
/// Elements that go on within a line; all others begin one.
const INLINE: [&str; 20] = [
    "a", "abbr", "b", "bdi", "cite", "code", "em", "font", "i", "img", "kbd", "label", "mark", "s", "small",
    "span", "strong", "sub", "sup", "u",
];
/// Longest entity: `&thetasym;` is not decoded, and a lone `&` is not looked after for long.
const LONGEST_ENTITY: usize = 10;

/// The text of a page: tags, comments, scripts and styles left out, entities decoded, blocks on lines of their own, white
/// space as a browser shows it.
pub(super) fn of(html: &str) -> String {
    let mut out = Text { text: String::with_capacity(html.len() / 4), gap: Gap::None, kept: false };
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        out.push(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with("<!--") {
            rest = after(rest, "-->");
            continue;
        }
        let inside = &rest[1..];
        let closing = inside.starts_with('/');
        let name = inside.trim_start_matches('/');
        let length = name.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let name = name[..length].to_ascii_lowercase();
        if name.is_empty() && !closing && !inside.starts_with(['!', '?']) {
            out.push("<");
            rest = inside;
            continue;
        }
        rest = after(rest, ">");
        if SILENT.contains(&&*name) && !closing {
            rest = after_element(rest, &name);
        } else if matches!(&*name, "td" | "th") {
            out.gap = out.gap.max(Gap::Space);
        } else if !INLINE.contains(&&*name) {
            out.gap = Gap::Line;
        }
        if name == "pre" {
            out.kept = !closing;
        }
    }
    out.push(rest);
    out.text
}

/// What stands before the next word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    None,
    Space,
    Line,
}

struct Text {
    text: String,
    gap: Gap,
    /// White space counts: within `pre`.
    kept: bool,
}

impl Text {
    /// Text between tags.
    fn push(&mut self, html: &str) {
        let decoded = decoded(html);
        if self.kept {
            self.fill_gap(!decoded.is_empty());
            self.text.push_str(&decoded);
            return;
        }
        for (index, word) in decoded.split(char::is_whitespace).enumerate() {
            if index > 0 {
                self.gap = self.gap.max(Gap::Space);
            }
            self.fill_gap(!word.is_empty());
            self.text.push_str(word);
        }
    }

    fn fill_gap(&mut self, something_follows: bool) {
        if !something_follows {
            return;
        }
        match std::mem::replace(&mut self.gap, Gap::None) {
            Gap::Line if !self.text.is_empty() => self.text.push('\n'),
            Gap::Space if !self.text.is_empty() => self.text.push(' '),
            _ => {}
        }
    }
}

/// What follows the first `end`; nothing if there is none.
fn after<'a>(text: &'a str, end: &str) -> &'a str {
    text.find(end).map_or("", |at| &text[at + end.len()..])
}

/// What follows the content of an element and its closing tag.
fn after_element<'a>(text: &'a str, name: &str) -> &'a str {
    let end = format!("</{name}");
    let at = text.as_bytes().windows(end.len()).position(|part| part.eq_ignore_ascii_case(end.as_bytes()));
    at.map_or("", |at| after(&text[at..], ">"))
}

fn decoded(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let end = rest.bytes().take(LONGEST_ENTITY).position(|byte| byte == b';');
        match end.and_then(|end| Some((entity(&rest[..end])?, end))) {
            Some((character, end)) => {
                out.push(character);
                rest = &rest[end + 1..];
            }
            None => out.push('&'),
        }
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => return Some('&'),
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "quot" => return Some('"'),
        "apos" => return Some('\''),
        "nbsp" => return Some(' '),
        _ => {}
    }
    let number = name.strip_prefix('#')?;
    let code = match number.strip_prefix(['x', 'X']) {
        Some(digits) => u32::from_str_radix(digits, 16).ok()?,
        None => number.parse().ok()?,
    };
    char::from_u32(code)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_page_becomes_its_text() {
        let page = "<!DOCTYPE html><html><head><title>On call</title><style>p > a {}</style>\
            <SCRIPT>if (a < b) { secret() }</Script ></head><body><!-- <p>hidden</p> -->\
            <h1>Disk&nbsp;full</h1><p>Run <b>df</b>,\n   then&#32;clean <a href='/x'>up</a>.</p>\
            <table><tr><td>a</td><td>b &lt; c</td></tr></table><pre>x:\n  - 1\n</pre><p>5 &amp; 6 < 7</body>";
        assert_eq!(of(page), "On call\nDisk full\nRun df, then clean up.\na b < c\nx:\n  - 1\n\n5 & 6 < 7");
    }

    #[test]
    fn what_is_cut_or_broken_ends_without_its_rest() {
        assert_eq!(of("a <b"), "a");
        assert_eq!(of("a<script>b"), "a");
        assert_eq!(of("a <!-- b"), "a");
        assert_eq!(of("&#xD800; &#1114112; &unknown; & ;&"), "&#xD800; &#1114112; &unknown; & ;&");
        assert_eq!(of(""), "");
    }

    #[test]
    fn a_page_that_is_made_to_be_slow_is_not() {
        let began = std::time::Instant::now();
        for piece in ["<script>", "<a ", "<!--", "&", "<", "</", "<pre>", "<td>"] {
            of(&piece.repeat((1 << 20) / piece.len()));
        }
        // Were each piece looked at to the end it would be hours.
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
    }

    proptest! {
        #[test]
        fn any_text_becomes_text_that_is_not_longer(html in "[<>/!a-cé&;#x\\-\\s\"'0-9]{0,200}") {
            prop_assert!(of(&html).len() <= html.len());
        }
    }
}
