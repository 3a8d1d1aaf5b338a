//! Where in XML and HTML a word is harmless that a client has chosen. What browsers may read in more than one way never is.

use std::ops::Range;

/// Elements whose text is code.
const CODE: [&str; 2] = ["script", "style"];

/// Elements whose text is no markup in HTML.
const RAW: [&str; 8] = ["iframe", "noembed", "noframes", "noscript", "plaintext", "textarea", "title", "xmp"];

/// Attributes that are code, or an address, which can be code. So are all whose names begin with "on".
const CODE_ATTRIBUTES: [&str; 18] = [
    "action",
    "background",
    "base",
    "classid",
    "codebase",
    "content",
    "data",
    "formaction",
    "href",
    "imagesrcset",
    "manifest",
    "ping",
    "poster",
    "src",
    "srcdoc",
    "srcset",
    "style",
    "xmlns",
];

/// Whether each of the places in `foreign` is in text that is no code, or in a quoted value of an attribute that is none.
/// `foreign`: where an escaped word of a client's begins, in bytes.
pub fn is_harmless(markup: &str, foreign: &[usize]) -> bool {
    let is_foreign = |range: Range<usize>| foreign.iter().any(|place| range.contains(place));
    let mut at = 0;
    while let Some(length) = markup[at..].find('<') {
        at += length;
        // Names of XML begin with many letters; what begins none is text.
        if markup[at + 1..].starts_with(|char: char| char.is_ascii_whitespace() || char.is_ascii_digit() || char == '=')
        {
            at += 1;
            continue;
        }
        let Some(tag) = Tag::read(&markup[at..]) else { return !is_foreign(at..markup.len()) };
        let is_in_value = |place: &usize| tag.values.iter().any(|value| value.contains(&(place - at)));
        if !foreign.iter().filter(|place| (at..at + tag.length).contains(place)).all(is_in_value) {
            return false;
        }
        at += tag.length;
        if let Some(element) = tag.raw {
            let Some(text) = raw_text(&markup[at..], element) else { return !is_foreign(at..markup.len()) };
            let is_plain = !text.contains('<') && !CODE.contains(&element);
            if !is_plain && is_foreign(at..at + text.len()) {
                return false;
            }
            at += text.len();
        }
    }
    true
}

/// A tag, a comment or a declaration, of so many bytes.
struct Tag {
    length: usize,
    /// Its quoted values that are no code.
    values: Vec<Range<usize>>,
    /// The element that it begins, where the text of that is no markup.
    raw: Option<&'static str>,
}

impl Tag {
    /// The one that `markup` begins with; `None` where browsers may read it in more than one way.
    fn read(markup: &str) -> Option<Self> {
        let empty = |length: usize| Self { length, values: Vec::new(), raw: None };
        if let Some(comment) = markup.strip_prefix("<!--") {
            let length = comment.find("-->")?;
            let comment = &comment[..length];
            let is_plain = !comment.starts_with(['>', '-']) && !comment.contains("--!");
            return is_plain.then(|| empty("<!---->".len() + length));
        }
        if let Some(data) = markup.strip_prefix("<![CDATA[") {
            let length = data.find(['<', '>'])?;
            let is_plain = data[..length].ends_with("]]") && data[length..].starts_with('>');
            return is_plain.then(|| empty("<![CDATA[>".len() + length));
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
                let raw = CODE.into_iter().chain(RAW).find(|raw| raw.eq_ignore_ascii_case(local(tag)));
                return Some(Self { length: markup.len() - rest.len(), values, raw });
            }
            let (attribute, after) = name(next)?;
            rest = after;
            let Some(value) = rest.trim_ascii_start().strip_prefix('=') else { continue };
            let value = value.trim_ascii_start();
            let Some(quote) = value.chars().next().filter(|char| "\"'".contains(*char)) else {
                let end = value.find(|char: char| char.is_ascii_whitespace() || char == '>')?;
                rest = Some(&value[end..]).filter(|_| !value[..end].contains(['"', '\'', '<', '=', '`']))?;
                continue;
            };
            let begin = markup.len() - value.len() + 1;
            let end = begin + value[1..].find([quote, '<'])?;
            rest = markup[end..].strip_prefix(quote)?;
            let attribute = local(attribute).to_ascii_lowercase();
            if !attribute.starts_with("on") && !CODE_ATTRIBUTES.contains(&attribute.as_str()) {
                values.push(begin..end);
            }
        }
    }
}

/// The text in front of the end of an element; `None` where it may go on behind that.
fn raw_text<'t>(text: &'t str, element: &str) -> Option<&'t str> {
    let is_end = |(place, _): &(usize, &str)| {
        name(&text[place + 2..]).is_some_and(|(name, _)| local(name).eq_ignore_ascii_case(element))
    };
    let (end, _) = text.match_indices("</").find(is_end)?;
    Some(&text[..end]).filter(|text| !text.contains("<!"))
}

/// The name that this begins with, and what follows.
fn name(text: &str) -> Option<(&str, &str)> {
    let is_part = |char: char| char.is_alphanumeric() || "-_.:".contains(char);
    let end = text.find(|char| !is_part(char)).unwrap_or(text.len());
    text.starts_with(char::is_alphabetic).then(|| text.split_at(end))
}

/// A name without its namespace.
fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
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
            "1 <2 and 3 <= 4 *",
            "<style>a < b</p></style>*",
            "<title>*</title><textarea name='a'>*</textarea>",
            "<link rel=stylesheet href=/s.css?a><p>*",
            "<größe n='*'>5</größe><![CDATA[x]]>*",
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
            "<script>x=\"</scripts>\";f(*)</script>",
            "<script><!-- f(\"<script src=a.js></script>\");f(*) --></script>",
            "<script><![CDATA[x=\"</script>\";f(*)]]></script>",
            "<h:script xmlns:h='a'>f(*)</h:script>",
            "<_:script xmlns:_='a'>f(*)</_:script>",
            "<a x:href='*'>",
            "<meta http-equiv=refresh content='0;url=*'>",
            // A browser takes the end of the element for its own, and a tag in a value for one where what it is in is text.
            "<title><b title=\"</title><script>f(*)</script>\">",
            "<textarea><!--</textarea><script>/*-->x(/**/)</script>",
            "<ö title='<script>*'>",
            "<title><b>*</b></title>",
            "<plaintext>*",
            "<a title=a=b>*",
            "<a title=a`b>*",
            "<!-- * -->",
            "<!--><script>-->*",
            "<!-- --!><script>-->*",
            "<!-- it's --><script>f(*)</script>",
            "<![CDATA[>]]>*",
            "<!DOCTYPE a [<!ENTITY b 'c'>]>*",
            "<![CDATA[*]]>",
            "<![CDATA[x]]<*",
            "<![CDATA[x]>*",
            "<? > <script>*",
            "</ >*",
        ] {
            assert!(!is_safe(markup), "{markup}");
        }
    }
}
