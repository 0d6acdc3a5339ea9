//! Reads one collection, and hides in it by name.

use std::ops::Range;

use serde_json::Value;

use super::is_harmless;
use crate::hide::{
    HIDDEN, NAMES, is_hidden,
    known::{clean, tells_of_a_secret},
    said,
};

/// Deepest collection within collections. Each line may begin one, so that it bounds how often a place is read.
const DEEPEST: usize = 32;

/// A collection that was read.
pub(super) struct Flow {
    /// Where it begins.
    pub(super) start: usize,
    /// Where it ends.
    pub(super) end: usize,
    /// It, without what looks like a secret; nothing where it holds nothing.
    pub(super) clean: Option<String>,
}

/// A text within a collection.
struct Scalar {
    at: Range<usize>,
    text: String,
    quote: Option<char>,
    /// It is an item of a list.
    listed: bool,
}

enum Node {
    Scalar(Scalar),
    /// The texts of a list, those of lists in it included.
    List(Vec<Scalar>),
    Map,
}

/// A collection that is being read.
struct Open {
    is_map: bool,
    /// Of an object: what it holds, by name; a text without a name has none.
    fields: Vec<(Option<Scalar>, Vec<Scalar>)>,
    /// Of a list: its texts.
    texts: Vec<Scalar>,
    /// Of a list: the last text was a flag whose value is the next.
    flag: bool,
    key: Option<Scalar>,
    node: Option<Node>,
}

struct Reader<'a> {
    text: &'a str,
    start: usize,
    at: usize,
    /// How many texts this one is within.
    within: u8,
    open: Vec<Open>,
    changes: Vec<(Range<usize>, String)>,
    holds: bool,
    /// Where the word ends in which an address was found, and where its last `@` is.
    word: (usize, usize),
}

/// The collection that begins at `start`; `None` where it cannot be read surely.
pub(super) fn read(text: &str, start: usize, within: u8) -> Option<Flow> {
    let (open, changes) = (Vec::new(), Vec::new());
    let mut reader = Reader { text, start, at: start, within, open, changes, holds: false, word: (0, 0) };
    while reader.step()? {}
    Some(reader.done())
}

impl Reader<'_> {
    /// Reads on; whether there is more.
    fn step(&mut self) -> Option<bool> {
        self.skip();
        let Some(first) = self.rest().chars().next() else { return Some(false) };
        let next = self.rest()[first.len_utf8()..].chars().next();
        let Some(top) = self.open.last_mut() else { return self.begin(first) };
        match first {
            '}' | ']' => {
                if top.is_map != (first == '}') {
                    return None;
                }
                self.at += 1;
                self.close();
                return self.is_apart().then_some(!self.open.is_empty());
            }
            ',' => {
                self.at += 1;
                self.end_of_field();
            }
            ':' => {
                let Some(Node::Scalar(key)) = top.node.take().filter(|_| top.key.is_none()) else {
                    return None;
                };
                if !(key.quote.is_some() || next.is_none_or(ends_key))
                    || self.text[key.at.clone()].contains('\n')
                {
                    return None;
                }
                top.key = Some(key);
                self.at += 1;
            }
            _ if top.node.is_some() => return None,
            '{' | '[' if top.is_map && top.key.is_none() => return None,
            '{' | '[' => return self.begin(first),
            // A tag or an anchor before what it belongs to.
            '!' | '&' => self.at += self.rest().find(|c: char| c.is_whitespace() || is_mark(c))?,
            '"' | '\'' => self.quoted(first)?,
            '|' | '>' | '@' | '`' | '%' => return None,
            '-' | '?' if next.is_none_or(char::is_whitespace) => return None,
            _ => self.plain()?,
        }
        Some(true)
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// White space and comments, of which nothing is shown that looks like a secret.
    fn skip(&mut self) {
        loop {
            let blank = self.rest().len() - self.rest().trim_start().len();
            self.at += blank;
            let apart = blank > 0 || self.at == self.start;
            if !(apart && self.rest().starts_with('#')) {
                return;
            }
            let end = self.at + self.rest().find('\n').unwrap_or(self.rest().len());
            let comment = &self.text[self.at..end];
            let shown = clean(comment);
            if shown != comment {
                self.changes.push((self.at..end, shown.into_owned()));
            }
            self.at = end;
        }
    }

    fn begin(&mut self, first: char) -> Option<bool> {
        let (fields, texts) = (Vec::new(), Vec::new());
        self.at += 1;
        self.open.push(Open { is_map: first == '{', fields, texts, flag: false, key: None, node: None });
        (self.open.len() <= DEEPEST).then_some(true)
    }

    /// Whether nothing touches the end of a collection that could be a part of a value with it.
    fn is_apart(&self) -> bool {
        let next = self.rest().chars().next();
        next.is_none_or(|c| {
            let goes_on = if self.open.is_empty() { ")\"'`;.>*" } else { ",}]" };
            c.is_whitespace()
                || goes_on.contains(c)
                || c == ',' && self.rest()[1..].starts_with(char::is_whitespace)
        })
    }

    /// A text in quotes. One that does not end is cut off, if that is sure.
    fn quoted(&mut self, quote: char) -> Option<()> {
        let start = self.at;
        let inner = &self.text[start + 1..];
        let mut from = 0;
        let length = loop {
            let Some(at) = inner[from..].find([quote, '\\']).map(|at| from + at) else { break None };
            let rest = &inner[at..];
            if quote == '"' && rest.starts_with('\\') {
                from = at + 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
            } else if quote == '\'' && rest.starts_with("''") {
                from = at + 2;
            } else if rest.starts_with(quote) {
                break Some(at);
            } else {
                from = at + 1;
            }
        };
        let top = self.open.last_mut()?;
        let may_be_secret =
            top.key.as_ref().is_some_and(|key| key.text == "value" || tells_of_a_secret(&key.text));
        if length.is_none() && inner.contains('\n') && !may_be_secret {
            return None;
        }
        let inner = &inner[..length.unwrap_or(inner.len())];
        let end = if length.is_some() { start + inner.len() + 2 } else { self.text.len() };
        let raw = &self.text[start..end];
        let text = match quote {
            '"' => serde_json::from_str(raw).unwrap_or_else(|_| inner.to_owned()),
            _ => inner.replace("''", "'"),
        };
        top.node = Some(Node::Scalar(Scalar { at: start..end, text, quote: Some(quote), listed: false }));
        (self.at, self.holds) = (end, true);
        Some(())
    }

    /// A text without quotes.
    fn plain(&mut self) -> Option<()> {
        let (start, rest) = (self.at, &self.text[self.at..]);
        let has_key = self.open.last().is_some_and(|top| top.is_map && top.key.is_some());
        let (mut end, mut before) = (rest.len(), ' ');
        for (at, c) in rest.char_indices() {
            let behind = &rest[at + c.len_utf8()..];
            match c {
                '{' | '[' | '"' => return None,
                '\'' if !before.is_alphanumeric() => return None,
                '#' if before.is_whitespace() => end = at,
                ':' if behind.chars().next().is_none_or(ends_key) => {
                    // Of a second name in a value it is not known where it begins.
                    if has_key {
                        return None;
                    }
                    end = at;
                }
                ',' if has_key && is_within_word(behind) => {}
                '}' | ']' | ',' => end = at,
                _ => {}
            }
            if end < rest.len() {
                break;
            }
            before = c;
        }
        let text = rest[..end].trim_end();
        // A password in it may go on behind what is a separator here.
        if text.contains("://") {
            if self.word.0 < start + text.len() {
                let is_end = |c: char| c.is_whitespace() || "\"'<>".contains(c);
                let from = start + text.len();
                let end = from + self.text[from..].find(is_end).unwrap_or(self.text.len() - from);
                self.word = (end, self.text[from..end].rfind('@').map_or(0, |at| from + at));
            }
            if self.word.1 >= start + text.len() {
                return None;
            }
        }
        let text = text.to_owned();
        let scalar = Scalar { at: start..start + text.len(), text, quote: None, listed: false };
        (self.at, self.holds) = (scalar.at.end, true);
        self.open.last_mut()?.node = Some(Node::Scalar(scalar));
        Some(())
    }

    /// What a name, a value or an item becomes when the next begins.
    fn end_of_field(&mut self) {
        let Some(top) = self.open.last_mut() else { return };
        let (key, node) = (top.key.take(), top.node.take());
        let is_item = matches!(node, Some(Node::Scalar(_)));
        let mut texts = match node {
            Some(Node::Scalar(text)) => vec![text],
            Some(Node::List(texts)) => texts,
            Some(Node::Map) | None => Vec::new(),
        };
        if top.is_map {
            top.fields.push((key, texts));
        } else if let Some(key) = key {
            // `[password: welcome]` is an object in a list.
            self.hide(vec![(Some(key), texts)]);
        } else {
            if is_item && let Some(text) = texts.last() {
                let value_of_flag = top.flag && !text.text.starts_with('-');
                top.flag = text.text.starts_with('-') && tells_of_a_secret(text.text.trim_start_matches('-'));
                if value_of_flag {
                    let text = texts.remove(0);
                    return self.hide_whole(&text, None);
                }
            }
            texts.iter_mut().for_each(|text| text.listed = true);
            top.texts.append(&mut texts);
        }
    }

    fn close(&mut self) {
        self.end_of_field();
        let Some(Open { is_map, fields, texts, .. }) = self.open.pop() else { return };
        if is_map {
            self.hide(fields);
        }
        match self.open.last_mut() {
            Some(above) if is_map => above.node = Some(Node::Map),
            Some(above) => above.node = Some(Node::List(texts)),
            None => texts.iter().for_each(|text| self.look_at(text)),
        }
    }

    /// Hides what an object holds that is called after a secret; what it holds else is looked at.
    fn hide(&mut self, fields: Vec<(Option<Scalar>, Vec<Scalar>)>) {
        let variable = fields.iter().any(|(name, texts)| {
            name.as_ref().is_some_and(|name| NAMES.contains(&name.text.as_str()))
                && matches!(&texts[..], [text] if !text.listed && tells_of_a_secret(&text.text))
        });
        let mut goes_on = false;
        for (name, texts) in fields {
            let named = match &name {
                Some(name) => tells_of_a_secret(&name.text) || variable && name.text == "value",
                // As `b` in `{password: a, b}`.
                None => goes_on,
            };
            goes_on = named && texts.last().is_some_and(|text| text.quote.is_none());
            for text in &texts {
                match &name {
                    Some(name)
                        if named
                            && is_harmless(&name.text, &text.text, text.quote.is_some() || text.listed) => {}
                    _ if named => self.hide_whole(text, name.as_ref()),
                    Some(_) => self.look_at(text),
                    None => self.look_at_member(text),
                }
            }
            if let Some(name) = &name {
                self.look_at(name);
            }
        }
    }

    /// `***` for a text, in quotes as they are around it or its name.
    fn hide_whole(&mut self, text: &Scalar, name: Option<&Scalar>) {
        if !is_hidden(&text.text) {
            let quotes = [Some(text), name].into_iter().flatten().filter_map(|one| one.quote);
            let quote = if quotes.into_iter().any(|quote| quote == '"') { '"' } else { '\'' };
            self.changes.push((text.at.clone(), format!("{quote}{HIDDEN}{quote}")));
        }
    }

    /// A text without a name in an object, which may be a name and its value without a blank: `{password:welcome}`.
    fn look_at_member(&mut self, text: &Scalar) {
        match text.text.split_once(':').filter(|_| text.quote.is_none()) {
            Some((name, value))
                if tells_of_a_secret(name) && !is_harmless(name, value, false) && !is_hidden(value) =>
            {
                self.changes.push((text.at.start + name.len() + 1..text.at.end, format!("'{HIDDEN}'")));
            }
            _ => self.look_at(text),
        }
    }

    /// A text by itself, as what it says.
    fn look_at(&mut self, text: &Scalar) {
        let shown = match text.quote {
            Some(_) => said(&text.text, self.within),
            None => clean(&text.text).into_owned(),
        };
        if shown != text.text {
            // Without quotes no value begins so.
            let plain = text.quote.is_none() && !shown.starts_with('*');
            let written = if plain { shown } else { Value::from(shown).to_string() };
            self.changes.push((text.at.clone(), written));
        }
    }

    fn done(mut self) -> Flow {
        // What the end of the text cuts off.
        while !self.open.is_empty() {
            self.close();
        }
        self.changes.sort_by_key(|(at, _)| at.start);
        let (mut clean, mut from) = (String::new(), self.start);
        for (at, written) in &self.changes {
            clean.push_str(&self.text[from..at.start]);
            clean.push_str(written);
            from = at.end;
        }
        clean.push_str(&self.text[from..self.at]);
        Flow { start: self.start, end: self.at, clean: self.holds.then_some(clean) }
    }
}

/// Whether a colon before this ends a name.
fn ends_key(next: char) -> bool {
    next.is_whitespace() || matches!(next, ',' | '{' | '}' | '[' | ']')
}

fn is_mark(c: char) -> bool {
    matches!(c, ',' | '{' | '}' | '[' | ']')
}

/// Whether what touches a comma is a part of the value before it, as in `a,b`, and no name of another.
fn is_within_word(behind: &str) -> bool {
    let touches =
        behind.chars().next().is_some_and(|c| !c.is_whitespace() && !is_mark(c) && !matches!(c, '"' | '\''));
    let end = behind.find(|c: char| is_mark(c) || c == '\n').unwrap_or(behind.len());
    touches && !behind[..end].contains(": ") && !behind[..end].ends_with(':')
}
