//! Answers that the configuration spells out.

use crate::formats::Known;
use crate::{Cost, Input, Target};
use html5gum::{DefaultEmitter, Token, Tokenizer};
use progress::{About, Template};
use serde_json::{Value, json};

/// What makes JSON and XML of an id, wherever it may stand.
const JSON: [(&str, &str); 5] = [
    ("type", "application/json"),
    ("unknown", r#"{{"id":"{id}"}}"#),
    ("running", r#"{{"id":"{id}","received":{received},"size":{request_size|null} }}"#),
    ("done", r#"{{"id":"{id}","status":{status|0} }}"#),
    ("error", r#"{{"id":"{id}","reason":"{reason|-}"}}"#),
];
const XML: [(&str, &str); 5] = [
    ("type", "text/xml"),
    ("unknown", r#"<a id="{id}">{id}</a>"#),
    ("running", r#"<a id='{id}' received="{received}">{id}</a>"#),
    ("done", r#"<a id="{id}">{status|}</a>"#),
    ("error", r#"<a id="{id}">{reason|}{id}</a>"#),
];

pub const TEMPLATES: Target = Target {
    name: "templates",
    dictionary: &[
        "{id}",
        "{state}",
        "{received}",
        "{request_size|?}",
        "{callback}",
        "{{",
        "}}",
        "{",
        "}",
        "|",
        "text/html",
        "text/plain",
        "application/json",
    ],
    run: |input| {
        let mut input = Input::new(input);
        let texts = [(); 5].map(|()| input.piece());
        let members = ["type", "unknown", "running", "done", "error"].map(str::as_bytes).into_iter().zip(texts);
        let template = Template::new(members);
        let id = input.piece();
        let known = Known::new(&mut input);
        let about = known.about(id);
        match template {
            // Numbers have 20 digits, an id becomes six times as long, and a name of a function is short.
            Ok(template) => {
                let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
                let length = template.write(&about).len();
                assert!(length <= longest * (id.len() * 6).max(128), "{length}");
            }
            Err(error) => assert!(!error.to_string().contains(['\n', '\r']), "{error}"),
        }
        let of = |members: [(&str, &str); 5]| {
            let bytes = members.iter().map(|(name, text)| (name.as_bytes(), text.as_bytes()));
            String::from_utf8(Template::new(bytes).expect("a template").write(&about)).expect("text")
        };
        let json = of(JSON);
        let value: Value = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
        let (told, id) = (known.full(), String::from_utf8_lossy(id));
        let expected = match told["state"].as_str() {
            Some("unknown") => json!({ "id": id }),
            Some("running") => json!({ "id": id, "received": told["received"], "size": told["request_size"] }),
            Some("done") => json!({ "id": id, "status": told["status"].as_i64().unwrap_or(0) }),
            _ => json!({ "id": id, "reason": told["reason"] }),
        };
        assert_eq!(value, expected, "{json}");
        assert!(!json.contains(['<', '\u{2028}', '\u{2029}']), "{json}");
        let xml = of(XML);
        roxmltree::Document::parse(&xml).unwrap_or_else(|error| panic!("{error}: {xml}"));
    },
    cost: Cost::Some,
};

/// An id.
const ID: &str = "qqq";

fn has_id(text: &[u8]) -> bool {
    text.windows(ID.len()).any(|one| one.eq_ignore_ascii_case(ID.as_bytes()))
}

/// Whether HTML has the id in text or in an attribute, as a browser reads it, and never as code or an address.
fn is_harmless(html: &str) -> bool {
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    let mut is_code = false;
    Tokenizer::new_with_emitter(html, emitter).all(|token| match token.expect("it is in memory") {
        Token::StartTag(tag) => {
            is_code = [&b"script"[..], b"style"].iter().any(|code| tag.name == *code);
            let is_safe = |name: &[u8]| !name.starts_with(b"on") && ![&b"href"[..], b"src", b"style"].contains(&name);
            !has_id(&tag.name)
                && tag.attributes.iter().all(|(name, value)| !has_id(name) && (is_safe(name) || !has_id(value)))
        }
        Token::EndTag(tag) => {
            is_code = false;
            !has_id(&tag.name)
        }
        Token::String(text) => !is_code || !has_id(&text),
        Token::Comment(text) => !has_id(&text),
        Token::Doctype(_) | Token::Error(_) => true,
    })
}

pub const MARKUP: Target = Target {
    name: "markup",
    dictionary: &[
        "{id}",
        "{callback}",
        "{rate}",
        "{rate|<b>}",
        "{reason|</script>}",
        "script",
        "<script>",
        "</script>",
        "</scripts>",
        "<style ",
        "<title>",
        "</title>",
        "<textarea>",
        "<xmp>",
        "<plaintext>",
        "<noscript>",
        "<!--",
        "-->",
        "--!>",
        "<![CDATA[",
        "]]>",
        "<?",
        "?>",
        "<!",
        "<a ",
        "</a>",
        "<a/",
        "title=",
        "href=",
        "on=",
        "src ",
        "\"",
        "'",
        "=",
        ">",
        "/>",
        "<",
        "/",
        "`",
        " ",
        "\n",
        "\t",
        "\u{c}",
        "ö",
        ":",
        "x",
    ],
    run: |input| {
        let mut parts = input.splitn(2, |byte| *byte == 0);
        let [text, known] = [(); 2].map(|()| parts.next().unwrap_or_default());
        let Some(text) =
            std::str::from_utf8(text).ok().filter(|text| text.contains("{id}") && !has_id(text.as_bytes()))
        else {
            return;
        };
        let members = ["unknown", "running", "done", "error"].map(|member| (member, text));
        let members = members.into_iter().chain([("type", "text/html")]);
        let Ok(template) = Template::new(members.map(|(name, text)| (name.as_bytes(), text.as_bytes()))) else {
            return;
        };
        let known = Known::new(&mut Input::new(known));
        for callback in [&b"script"[..], b"onclick", b"f"] {
            let about = About { callback: Some(callback), ..known.about(ID.as_bytes()) };
            let html = String::from_utf8(template.write(&about)).expect("text");
            assert!(is_harmless(&html), "{text} is {html}");
        }
    },
    cost: Cost::Some,
};
