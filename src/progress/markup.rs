//! Where in XML and HTML a word is harmless that a client has chosen. What is not plain markup is never taken for harmless.

use std::ops::Range;

/// Tags whose text is code.
const CODE: [&str; 2] = ["script", "style"];

/// Attributes that are code, or an address, which can be code. So are all whose names begin with "on".
const CODE_ATTRIBUTES: [&str; 11] =
    ["action", "background", "data", "formaction", "href", "poster", "src", "srcdoc", "srcset", "style", "xlink:href"];

/// Whether each of the places in `foreign` is in text that is no code, or in a quoted value of an attribute that is none.
/// `foreign`: where an escaped word of a client's begins, in bytes.
pub fn is_harmless(markup: &str, foreign: &[usize]) -> bool {
    let is_foreign = |range: Range<usize>| foreign.iter().any(|place| range.contains(place));
    let (mut at, mut code) = (0, None);
    while let Some(length) = markup[at..].find('<') {
        if code.is_some() && is_foreign(at..at + length) {
            return false;
        }
        at += length;
        let rest = &markup[at + 1..];
        let begins_tag = match code {
            Some(name) => rest
                .strip_prefix('/')
                .and_then(|rest| rest.get(..str::len(name)))
                .is_some_and(|end| end.eq_ignore_ascii_case(name)),
            None => rest.starts_with(|char: char| char.is_ascii_alphabetic() || "/!?".contains(char)),
        };
        if !begins_tag {
            at += 1;
            continue;
        }
        let Some(tag) = Tag::read(&markup[at..]) else { return !is_foreign(at..markup.len()) };
        let is_in_value = |place: &usize| tag.values.iter().any(|value| value.contains(&(place - at)));
        if !foreign.iter().filter(|place| (at..at + tag.length).contains(place)).all(is_in_value) {
            return false;
        }
        code = tag.code;
        at += tag.length;
    }
    code.is_none() || !is_foreign(at..markup.len())
}

/// A tag, a comment or a declaration, of so many bytes.
struct Tag {
    length: usize,
    /// Its quoted values that are no code.
    values: Vec<Range<usize>>,
    /// Which code begins after it.
    code: Option<&'static str>,
}

impl Tag {
    /// The one that `markup` begins with; `None` where browsers may read it in another way.
    fn read(markup: &str) -> Option<Self> {
        let empty = |length: usize| Self { length, values: Vec::new(), code: None };
        if let Some(comment) = markup.strip_prefix("<!--") {
            let length = comment.find("-->")?;
            let comment = &comment[..length];
            let is_plain = !comment.starts_with(['>', '-']) && !comment.contains("--!");
            return is_plain.then(|| empty("<!---->".len() + length));
        }
        if markup.starts_with("<!") || markup.starts_with("<?") {
            let length = markup.find('>')? + 1;
            let declaration = &markup[1..length - 1];
            let is_plain =
                !declaration.contains(['<', '[']) && declaration.starts_with('?') == declaration.ends_with('?');
            return is_plain.then(|| empty(length));
        }
        if let Some(rest) = markup.strip_prefix("</") {
            let rest = name(rest)?.1.trim_ascii_start().strip_prefix('>')?;
            return Some(empty(markup.len() - rest.len()));
        }
        let (tag, mut rest) = name(&markup[1..])?;
        let mut values = Vec::new();
        loop {
            let next = rest.trim_ascii_start();
            if let Some(rest) = next.strip_prefix("/>").or_else(|| next.strip_prefix('>')) {
                let code = CODE.into_iter().find(|code| code.eq_ignore_ascii_case(tag));
                return Some(Self { length: markup.len() - rest.len(), values, code });
            }
            let (attribute, after) = name(next)?;
            rest = after;
            let Some(value) = rest.trim_ascii_start().strip_prefix('=') else { continue };
            let value = value.trim_ascii_start();
            let Some(quote) = value.chars().next().filter(|char| "\"'".contains(*char)) else {
                rest = value.trim_start_matches(|char: char| char.is_ascii_alphanumeric() || ".-_:#%".contains(char));
                continue;
            };
            let begin = markup.len() - value.len() + 1;
            let end = begin + value[1..].find(quote)?;
            let attribute = attribute.to_ascii_lowercase();
            if !attribute.starts_with("on") && !CODE_ATTRIBUTES.contains(&attribute.as_str()) {
                values.push(begin..end);
            }
            rest = &markup[end + 1..];
        }
    }
}

/// The name that this begins with, and what follows.
fn name(text: &str) -> Option<(&str, &str)> {
    let is_part = |char: char| char.is_ascii_alphanumeric() || "-_.:".contains(char);
    let end = text.find(|char| !is_part(char)).unwrap_or(text.len());
    text.starts_with(|char: char| char.is_ascii_alphabetic()).then(|| text.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the places of the stars are harmless.
    fn is_safe(markup: &str) -> bool {
        let foreign: Vec<_> = markup.match_indices('*').map(|(place, _)| place).collect();
        assert!(!foreign.is_empty(), "{markup}");
        is_harmless(&markup.replace('*', "x"), &foreign)
    }

    #[test]
    fn text_and_quoted_values_are_harmless() {
        for markup in [
            "*",
            "<a>*</a>*",
            "<upload id=\"*\" received='5'/>",
            "<a title='*'>",
            "<p><a title='x'lang='*'>",
            "<a hidden title = \"a*b*\" class=big-1 lang='it'>*",
            "<a href='/x' title='*'>",
            "<a title=\"it's *\">a = *</a >",
            "<?xml version=\"1.0\"?><!DOCTYPE html><p>*",
            "<!-- it's > <b \" --><p>*",
            "<p>5 < 6\" wide *",
            "<style>a < b</p></style>*",
            "<script>a<b</SCRIPT>*",
            "<br/>*<",
        ] {
            assert!(is_safe(markup), "{markup}");
        }
    }

    #[test]
    fn code_addresses_and_what_may_be_either_are_not() {
        for markup in [
            "<*>",
            "</*>",
            "<a *>",
            "<a title=*>",
            "<a title= *>",
            "<a title=x*>",
            "<a href='*'>",
            "<a title='x' HREF = \"/x/*\">",
            "<a title='x' OnClick='*'>",
            // What follows a quoted value is the next attribute.
            "<a title=\"x\"onclick='*'>",
            "<a title=\"x\"href='*'>",
            "<body/onload=\"f(*)\">",
            // It takes a quote that does not begin a value for a part of it.
            "<a href=javascript:f('*')>",
            "<a title=x'*'>",
            "<a x\"y=\">\"*",
            "<a title='>' *>",
            "<a title='*>",
            "<a title='*'",
            "<script>f(*)</script>",
            "<SCRIPT async>f('*')</SCRIPT>",
            "<script/>f(*)</script>",
            "<script/type=module>f(*)</script>",
            "<script>f()</style>*",
            "<script>*",
            "<style>*</style>",
            "<!-- * -->",
            "<!--><script>-->*",
            "<!-- --!><script>-->*",
            "<!-- it's --><script>f(*)</script>",
            "<![CDATA[>*]]>",
            "<? > <script>*",
            "</ >*",
        ] {
            assert!(!is_safe(markup), "{markup}");
        }
    }
}
