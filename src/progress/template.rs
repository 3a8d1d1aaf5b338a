//! Answers that the configuration spells out.

use super::piece::{About, Escape, Field, Texts};
use super::{Callback, State, Statuses, markup};
use std::fmt;

/// What is written for each state, and as what it is sent.
#[derive(Debug)]
pub struct Template {
    content_type: String,
    escape: Escape,
    texts: Texts<Vec<Part>>,
}

/// A part of a template.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// The value, or the text where it is not known.
    Value(Field, String),
}

/// The members of a template, in the order in which they are asked for.
const MEMBERS: [&str; 5] = ["type", "unknown", "running", "done", "error"];

/// Why something is no template.
#[derive(Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// It has no member of that name.
    Missing(&'static str),
    /// It has a member that there is not.
    NoMember(Vec<u8>),
    /// It has a member twice.
    Twice(&'static str),
    /// A member is no UTF-8.
    NoText(&'static str),
    /// The type is no media type.
    NoType(String),
    /// There is no such placeholder.
    NoPlaceholder {
        /// The member that has it.
        member: &'static str,
        /// What stands between its braces.
        name: String,
    },
    /// A member has an id where nothing makes what a client sends harmless.
    UnsafeId(&'static str),
    /// A brace stands alone.
    LoneBrace {
        /// The member that has it.
        member: &'static str,
        /// Its place, in bytes.
        at: usize,
    },
}

impl Template {
    /// How answers get the name of the function that they call.
    pub const CALLBACK: &'static Callback = &Callback::PROGRESS;

    /// The template that has these members.
    ///
    /// # Errors
    /// Where it is none.
    pub fn new<'m>(members: impl IntoIterator<Item = (&'m [u8], &'m [u8])>) -> Result<Self, TemplateError> {
        let mut found = [None; MEMBERS.len()];
        for (name, text) in members {
            let number = MEMBERS.iter().position(|member| member.as_bytes() == name);
            let number = number.ok_or_else(|| TemplateError::NoMember(name.to_vec()))?;
            let text = std::str::from_utf8(text).map_err(|_| TemplateError::NoText(MEMBERS[number]))?;
            if found[number].replace(text).is_some() {
                return Err(TemplateError::Twice(MEMBERS[number]));
            }
        }
        let member = |number: usize| found[number].ok_or(TemplateError::Missing(MEMBERS[number]));
        let content_type = member(0)?;
        let escape = Escape::for_type(content_type);
        let text = |number: usize| {
            let parts = parts(MEMBERS[number], member(number)?)?;
            if is_id_safe(&parts, escape) { Ok(parts) } else { Err(TemplateError::UnsafeId(MEMBERS[number])) }
        };
        let is_type = content_type.split_once('/').is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty())
            && content_type.chars().all(|character| character == ' ' || character.is_ascii_graphic());
        if !is_type {
            return Err(TemplateError::NoType(content_type.to_string()));
        }
        Ok(Self {
            content_type: content_type.to_string(),
            escape: escape.unwrap_or(Escape::None),
            texts: Texts { unknown: text(1)?, running: text(2)?, done: text(3)?, error: text(4)? },
        })
    }

    /// The media type of its answers.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// The state that the answer tells.
    pub fn state(&self, about: &About<'_>) -> State {
        State::of(about.snapshot, about.success.unwrap_or(&Statuses::GOOD_OR_REDIRECT))
    }

    /// The answer, by this template.
    pub fn write(&self, about: &About<'_>) -> Vec<u8> {
        let state = self.state(about);
        let mut body = Vec::new();
        for part in self.texts.of(state) {
            let text = match part {
                Part::Text(text) => text,
                Part::Value(field, _) if field.write(["", ""], about, state, self.escape, &mut body) => continue,
                Part::Value(_, text) => text,
            };
            body.extend_from_slice(text.as_bytes());
        }
        body
    }
}

/// Whether ids are harmless where they stand: in text alone, or between quotes of the same kind.
fn is_id_safe(parts: &[Part], escape: Option<Escape>) -> bool {
    let text = |place: Option<usize>| match place.and_then(|place| parts.get(place)) {
        Some(Part::Text(text)) => text.as_str(),
        Some(Part::Value(..)) | None => "",
    };
    let is_quoted = |place: usize| {
        let before = text(place.checked_sub(1)).chars().next_back();
        let after = text(Some(place + 1)).chars().next();
        before == after && matches!(before, Some('"' | '\''))
    };
    let is_id = |part: &Part| matches!(part, Part::Value(Field::Id, _));
    let mut ids = (0..parts.len()).filter(|place| is_id(&parts[*place])).peekable();
    match escape {
        _ if ids.peek().is_none() => true,
        None => false,
        Some(Escape::None) => true,
        Some(Escape::Json) => ids.all(is_quoted),
        Some(Escape::Xml) => are_ids_safe_among_tags(parts),
    }
}

/// Whether ids are harmless where they stand among tags, whichever of the other values are known.
fn are_ids_safe_among_tags(parts: &[Part]) -> bool {
    // Another text stands for what is not known, or none; where that is the id, none is there. The state is always known.
    let is_there = |field: &Field| parts.iter().any(|part| matches!(part, Part::Value(other, _) if other == field));
    let fields = Field::NAMED.map(|(_, field)| field).into_iter();
    let optional: Vec<_> =
        fields.filter(|field| ![Field::Id, Field::State].contains(field) && is_there(field)).collect();
    let is_safe = |unknown: u32| {
        let (mut markup, mut ids) = (String::new(), Vec::new());
        for part in parts {
            match part {
                Part::Text(text) => markup.push_str(text),
                Part::Value(Field::Id, _) => {
                    ids.push(markup.len());
                    markup.push('x');
                }
                Part::Value(field, text) => match optional.iter().position(|other| other == field) {
                    Some(number) if unknown & 1 << number != 0 => markup.push_str(text),
                    // It is a client's, too, and can be the name of anything.
                    _ if *field == Field::Callback => markup.push('('),
                    _ => markup.push('x'),
                },
            }
        }
        markup::is_harmless(&markup, &ids)
    };
    (0..1 << optional.len()).all(is_safe)
}

/// Text with placeholders in braces; two braces stand for one.
fn parts(member: &'static str, text: &str) -> Result<Vec<Part>, TemplateError> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut at = 0;
    while let Some(length) = text[at..].find(['{', '}']) {
        plain.push_str(&text[at..at + length]);
        at += length;
        let brace = &text[at..=at];
        if text[at + 1..].starts_with(brace) {
            plain.push_str(brace);
            at += 2;
            continue;
        }
        let end = text[at..].find('}').filter(|_| brace == "{").ok_or(TemplateError::LoneBrace { member, at })?;
        let (name, otherwise) = text[at + 1..at + end].split_once('|').unwrap_or((&text[at + 1..at + end], ""));
        let field = Field::NAMED.iter().find(|(other, _)| *other == name).map(|(_, field)| *field);
        let field = field.ok_or_else(|| TemplateError::NoPlaceholder { member, name: name.to_string() })?;
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        parts.push(Part::Value(field, otherwise.to_string()));
        at += end + 1;
    }
    plain.push_str(&text[at..]);
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(parts)
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = MEMBERS.join(", ");
        match self {
            Self::Missing(member) => write!(f, "template without \"{member}\", expected {members}"),
            Self::NoMember(name) => {
                write!(f, "template with \"{}\", expected {members}", name.escape_ascii())
            }
            Self::Twice(member) => write!(f, "template with two \"{member}\", expected one each of {members}"),
            Self::NoText(member) => write!(f, "template whose \"{member}\" is not UTF-8"),
            Self::NoType(got) => {
                write!(f, "template of type \"{}\", expected a media type like text/xml", got.escape_default())
            }
            Self::NoPlaceholder { member, name } => {
                let names = Field::NAMED.map(|(name, _)| name).join(", ");
                let name = name.escape_default();
                write!(f, "unknown placeholder {{{name}}} in \"{member}\" of a template, expected one of {names}")
            }
            Self::UnsafeId(member) => write!(
                f,
                "{{id}} in \"{member}\" of a template, expected it between quotes (JSON, scripts), in text or a quoted attribute \
                 that is no code or address, behind plain tags (XML, HTML), or in plain text"
            ),
            Self::LoneBrace { member, at } => {
                write!(
                    f,
                    "brace without its other at byte {at} of \"{member}\" of a template, expected {{{{ or }}}} for one brace"
                )
            }
        }
    }
}

impl std::error::Error for TemplateError {}

#[cfg(test)]
mod tests {
    use super::super::{Numbers, Response, Snapshot, Timestamp};
    use super::*;

    fn template(content_type: &str, running: &str) -> Result<Template, TemplateError> {
        let members =
            [("type", content_type), ("unknown", "?"), ("running", running), ("done", "{status}"), ("error", "")];
        Template::new(members.map(|(name, text)| (name.as_bytes(), text.as_bytes())))
    }

    fn written(content_type: &str, running: &str, id: &[u8]) -> String {
        let snapshot = Snapshot {
            numbers: Numbers::new(10, 0, None, 0),
            began: Timestamp(0),
            response: Response::Awaited,
            rate: Some(5),
            outcome: None,
        };
        let (now, snapshot) = (Timestamp(1_250), Some(&snapshot));
        let about = About { snapshot, id, details: None, callback: Some(b"cb"), success: None, now, unix_time: |_| 0 };
        let template = template(content_type, running).expect("a template");
        assert_eq!(template.content_type(), content_type);
        assert_eq!(template.write(&About { snapshot: None, ..about }), b"?");
        String::from_utf8(template.write(&about)).expect("answers are UTF-8")
    }

    #[test]
    fn fills_in_what_is_known() {
        for (running, text) in [
            ("", ""),
            ("plain", "plain"),
            ("{received} of {request_size|?}", "10 of ?"),
            ("{request_size}", ""),
            ("{request_size|}.{response_size|a|b}", ".a|b"),
            ("{{{state}}} {{}} }}{{", "{running} {} }{"),
            ("{phase}{elapsed}", "receiving1.250"),
            ("{callback}({{rate: {rate}}})", "cb({rate: 5})"),
            ("ä{sent}ö", "ä0ö"),
        ] {
            assert_eq!(written("text/plain", running, b"i"), text, "{running}");
        }
    }

    #[test]
    fn what_a_client_has_chosen_cannot_become_markup() {
        let id = "</a>&\"'\\\u{1}\u{2028}ä\u{ffff}".as_bytes();
        let xml = "&lt;/a&gt;&amp;&quot;&#39;\\\u{fffd}\u{fffd}ä\u{fffd}";
        for content_type in ["text/xml", "application/xml; charset=utf-8", "text/xsl", "image/svg+xml", "TEXT/HTML"] {
            assert_eq!(written(content_type, "{id}", id), xml, "{content_type}");
        }
        let json = "\\u003c/a\\u003e\\u0026\\\"\\u0027\\\\\\u0001\\u2028ä\u{ffff}";
        for content_type in ["application/json", "text/javascript", "application/ld+json", "text/livescript"] {
            assert_eq!(written(content_type, "\"{id}\"", id), format!("\"{json}\""), "{content_type}");
        }
        assert_eq!(written("text/javascript", "'{id}'", b"${a}`"), "'\\u0024{a}\\u0060'");
        let parsed: String = serde_json::from_str(&format!("\"{json}\"")).expect("it is a string");
        assert_eq!(parsed.as_bytes(), id);
        assert_eq!(written("text/plain", "{id}", id).as_bytes(), id);
        assert_eq!(written("application/json", "\"{id}\"", b"a\xffb"), "\"a\u{fffd}b\"");
    }

    #[test]
    fn an_id_stands_only_where_it_is_harmless() {
        for (content_type, running, is_safe) in [
            ("text/plain", "{id}", true),
            ("text/xml", "<a>{id}</a>", true),
            ("text/html", "<a title='{id}'>", true),
            ("text/html", "<a title={id}>", false),
            ("text/html", "<a title={state}{id}>", false),
            ("text/html", "<a href='{state}{id}'>", false),
            ("text/html", "<a href='/x' title='{id}'>", true),
            ("text/html", "<script>f({id})</script>", false),
            ("text/xml", "<upload id=\"{id}\"/>", true),
            ("text/xml", "<upload id=\"{id}\" rate='{rate|unknown}' of=\"{request_size|?}\"/>", true),
            ("text/html", "{rate|<b>slow</b>}{id}", true),
            ("text/html", "{rate|<script>}f({id})", false),
            ("text/html", "<a title='{rate|' id=}{id}'>", false),
            ("text/html", "<a title={rate|'}{id}'>", false),
            ("text/html", "{rate|<script>}{status|</script>}{reason|</script>}{id}", false),
            ("text/html", "<b>{callback}</b><i title='{callback}'>{id}", true),
            ("text/html", "<{callback|b}>{id}</{callback|b}>", false),
            ("text/html", "<{state} title='{id}'>", true),
            ("text/xml", "<{state}><id>{id}</id></{state}>", true),
            ("text/html", "<{response_size}script>{id}", false),
            ("text/html", "<b o{rate}nclick='{id}'>", false),
            ("application/json", "\"{id}\"", true),
            ("application/json", "[\"{id}\", '{id}']", true),
            ("application/json", "{id}", false),
            ("text/javascript", "f({id})", false),
            ("text/javascript", "f(`{id}`)", false),
            ("text/javascript", "f(\"{id}')", false),
            ("text/javascript", "f(\"{id}{id}\")", false),
            ("text/css", "\"{id}\"", false),
            ("application/octet-stream", "{id}", false),
            ("application/octet-stream", "{received}", true),
        ] {
            let refused = template(content_type, running).err();
            assert_eq!(refused.is_none(), is_safe, "{content_type} {running}: {refused:?}");
            assert!(refused.is_none_or(|error| error == TemplateError::UnsafeId("running")), "{running}");
        }
    }

    #[test]
    fn is_refused_by_what_is_wrong() {
        for (running, expected) in [
            (
                "{sizes}",
                "unknown placeholder {sizes} in \"running\" of a template, expected one of state, phase, received",
            ),
            ("{}", "unknown placeholder {} in"),
            ("{ sent}", "unknown placeholder { sent} in"),
            ("a{sent", "brace without its other at byte 1 of \"running\""),
            ("a}b", "brace without its other at byte 1 of \"running\""),
            ("{{{sent}", ""),
            ("{{sent}", "brace without its other at byte 6 of \"running\""),
        ] {
            let refused = template("text/plain", running).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(refused.starts_with(expected) && refused.is_empty() == expected.is_empty(), "{running}: {refused}");
        }
        for content_type in ["", "text", "/", "text/", "text/x\r\nA: b", "text/ä"] {
            assert_eq!(template(content_type, "").err(), Some(TemplateError::NoType(content_type.to_string())));
        }
    }

    #[test]
    fn has_each_member_once() {
        let all = ["type", "unknown", "running", "done", "error"];
        let new = |members: &[&str]| {
            let text = |name: &&str| if *name == "type" { "a/b" } else { "x" };
            Template::new(members.iter().map(|name| (name.as_bytes(), text(name).as_bytes()))).err()
        };
        assert_eq!(new(&all), None);
        for (number, member) in all.into_iter().enumerate() {
            let without: Vec<_> = all.into_iter().filter(|other| *other != member).collect();
            assert_eq!(new(&without), Some(TemplateError::Missing(all[number])));
            assert_eq!(new(&[&all[..], &[member]].concat()), Some(TemplateError::Twice(all[number])));
        }
        assert_eq!(new(&["Type"]), Some(TemplateError::NoMember(b"Type".to_vec())));
        let invalid = Template::new([(&b"done"[..], &b"\xff"[..])]).err();
        assert_eq!(invalid, Some(TemplateError::NoText("done")));
    }

    /// Ids of random bytes, come back out of what was written of them.
    #[test]
    fn an_id_comes_back_out_of_an_answer() {
        let pieces = [
            "<", ">", "&", "\"", "'", "\\", "/", "a", "&lt;", "]]>", "\u{0}", "\u{7f}", "\n", "\u{2028}", "\u{fffe}",
            "ä", "𝄞",
        ];
        let random = &mut fastrand::Rng::with_seed(11);
        for _ in 0..crate::tests::steps(20_000) {
            let mut id = Vec::new();
            for _ in 0..random.usize(1..12) {
                match random.u8(..8) {
                    0 => id.push(random.u8(..)),
                    _ => id.extend_from_slice(random.choice(pieces).expect("not empty").as_bytes()),
                }
            }
            let lossy = String::from_utf8_lossy(&id);
            let json = written("application/json", "\"{id}\"", &id);
            assert_eq!(serde_json::from_str::<String>(&json).ok().as_deref(), Some(&*lossy), "{json}");
            assert!(!json.contains(['<', '>', '&', '\u{2028}']), "{json}");
            let xml = written("text/xml", "{id}", &id);
            assert!(!xml.contains(['<', '>', '"', '\'']), "{xml}");
            let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
            let back = entities.iter().fold(xml, |text, (entity, character)| text.replace(entity, character));
            let is_writable = |c: char| {
                !c.is_control() && !('\u{2028}'..='\u{2029}').contains(&c) && c < '\u{fffe}' || c > '\u{ffff}'
            };
            let expected: String = lossy.chars().map(|c| if is_writable(c) { c } else { '\u{fffd}' }).collect();
            assert_eq!(back, expected);
        }
    }
}
