//! The two forms of a site's description: lighttpd2's configuration, and the stand-in's JSON.

use crate::folder::Folder;
use crate::site::{Action, Rule, Site, Which};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;

/// Where things are that a description names.
pub struct Places<'a> {
    pub address: SocketAddr,
    /// The module to load, if any.
    pub module: Option<&'a Path>,
    /// The folder of the site's files.
    pub files: &'a Path,
    /// The certificate and its key, where the site is served over TLS.
    pub certificate: Option<&'a Path>,
}

/// lighttpd2's configuration.
pub fn text(site: &Site, places: &Places<'_>) -> String {
    let modules = [places.module.map(|_| "mod_progress"), Some("mod_proxy"), places.certificate.map(|_| "mod_openssl")];
    let modules: Vec<_> = modules.into_iter().flatten().map(quoted).collect();
    let listen = match places.certificate {
        Some(file) => format!("openssl [ \"listen\" => \"{}\", \"pemfile\" => {} ]", places.address, path(file)),
        None => format!("listen \"{}\"", places.address),
    };
    let mut text = format!(
        "setup {{\n\tworkers {};\n\tmodule_load ( {} );\n\t{listen};\n\tlog [ default => \"stderr\" ];\n",
        site.workers,
        modules.join(", ")
    );
    if let Some(seconds) = site.io_timeout {
        text += &format!("\tio.timeout {seconds};\n");
    }
    for (name, value) in &site.setups {
        text += &format!("\t{}\n", call(name, value));
    }
    text += "}\n";
    for (name, value) in &site.lighttpd2_options {
        text += &format!("{}\n", call(name, value));
    }
    text + &rules_text(&site.rules, places)
}

fn rules_text(rules: &[Rule], places: &Places<'_>) -> String {
    let mut text = String::new();
    for (number, rule) in rules.iter().enumerate() {
        let condition = match &rule.which {
            Which::Path(path) => format!("if req.path == {} ", quoted(path)),
            Which::Prefix(path) => format!("if req.path =^ {} ", quoted(path)),
            Which::Matching(expression) => format!("if req.path =~ {} ", quoted(expression)),
            Which::All => String::new(),
        };
        let actions: Vec<_> = rule.actions.iter().map(|action| action_text(action, places)).collect();
        let actions = actions.join("\n\t");
        text += &match (number, &rule.which) {
            (0, Which::All) => format!("{actions}\n"),
            (0, _) => format!("{condition}{{\n\t{actions}\n}}\n"),
            (_, _) => format!("else {condition}{{\n\t{actions}\n}}\n"),
        };
        if matches!(rule.which, Which::All) {
            break;
        }
    }
    text
}

/// The stand-in's description.
pub fn json(site: &Site, places: &Places<'_>) -> Value {
    let setups: Vec<_> = site.setups.iter().map(|(name, value)| json!([name, value])).collect();
    let mut rules = Vec::new();
    for rule in &site.rules {
        add_json(rule, None, &[], places, &mut rules);
    }
    let mut description = json!({ "module": places.module, "workers": site.workers, "setup": setups, "rules": rules });
    if let Some(memory) = &site.memory {
        description["memory"] = json!(memory);
    }
    description
}

/// Adds a rule, after those for some of its requests; `outer` and `before` are of the rule around it. The stand-in's rules have
/// no others in them.
fn add_json(rule: &Rule, outer: Option<&Which>, before: &[Value], places: &Places<'_>, rules: &mut Vec<Value>) {
    let which = match (&rule.which, outer) {
        (Which::All, Some(outer)) => outer,
        (which, _) => which,
    };
    let mut actions = before.to_vec();
    for action in &rule.actions {
        match action {
            Action::Choose(inner) => {
                for rule in inner {
                    add_json(rule, Some(which), &actions, places, rules);
                }
            }
            action => actions.extend(action_json(action, places)),
        }
    }
    rules.push(match which {
        Which::Path(path) => json!({ "path": path, "actions": actions }),
        Which::Prefix(path) => json!({ "prefix": path, "actions": actions }),
        Which::Matching(expression) => panic!("the stand-in has no regular expressions: {expression}"),
        Which::All => json!({ "actions": actions }),
    });
}

fn action_text(action: &Action, places: &Places<'_>) -> String {
    match action {
        Action::Call { name, value } => call(name, value),
        Action::Respond { status, body } => format!("respond {status} => {};", quoted(body)),
        Action::Files => format!("docroot {};", path(places.files)),
        Action::Proxy(address) => format!("proxy \"{address}\";"),
        Action::Stream => String::from("buffer_request_body false;"),
        Action::Header { name, value } => format!("header.overwrite {} => {};", quoted(name), quoted(value)),
        Action::Choose(rules) => rules_text(rules, places).replace('\n', "\n\t"),
    }
}

/// `None` for what the stand-in does anyway, or cannot do.
fn action_json(action: &Action, places: &Places<'_>) -> Option<Value> {
    Some(match action {
        Action::Call { name, value: Value::Null } => json!([name]),
        Action::Call { name, value } => json!([name, value]),
        Action::Respond { status, body } => json!(["respond", status, body]),
        Action::Files => json!(["docroot", places.files]),
        Action::Proxy(address) => json!(["proxy", address.to_string()]),
        Action::Stream | Action::Header { .. } | Action::Choose(_) => return None,
    })
}

/// The configuration of lighttpd2's angel, which starts `worker` with this configuration and these modules. It hands on no more of
/// its environment than is named.
pub fn angel(site: &Site, wrap: &[OsString], worker: &Path, folder: &Folder) -> String {
    let text = |path: &Path| Value::from(path.to_str().expect("a path in UTF-8"));
    let wrap: Vec<_> = wrap.iter().map(|word| text(Path::new(word))).collect();
    let environment = site.environment.iter().map(|(name, _)| name.as_str());
    let environment: Vec<_> = environment.chain(["LD_LIBRARY_PATH", "LD_DEBUG", "LD_DEBUG_OUTPUT", "PATH"]).collect();
    [
        ("wrapper", wrap.into()),
        ("binary", text(worker)),
        ("config", text(&folder.path("config"))),
        ("modules_path", text(&folder.path("modules"))),
        ("copy_env", environment.into()),
        ("allow_listen", folder.address().to_string().into()),
    ]
    .iter()
    .map(|(name, value)| call(name, value) + "\n")
    .collect()
}

fn call(name: &str, value: &Value) -> String {
    match value {
        Value::Null => format!("{name};"),
        value => format!("{name} {};", literal(value)),
    }
}

fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| format!("{} => {}", quoted(name), literal(value)));
            format!("[{}]", members.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        // lighttpd2 reads -5 as 5, and - 5 as what it is.
        Value::Number(number) => number.to_string().replace('-', "- "),
        Value::Bool(_) => value.to_string(),
        Value::Null => panic!("{value} has no form in lighttpd2's configuration"),
    }
}

fn path(path: &Path) -> String {
    quoted(path.to_str().expect("a path in UTF-8"))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_in_a_rule_come_before_the_rest_of_it() {
        let inner = [Rule::path("/a/b").respond(200, "b"), Rule::all().track().respond(200, "c")];
        let site = Site::new().rule(Rule::prefix("/a/").show().choose(inner)).rule(Rule::all().respond(200, "x"));
        let places = Places {
            address: "127.0.0.1:80".parse().unwrap(),
            module: Some(Path::new("/m")),
            files: Path::new("/f"),
            certificate: None,
        };
        let rules = &json(&site, &places)["rules"];
        let show = json!(["progress.show"]);
        assert_eq!(rules[0], json!({ "path": "/a/b", "actions": [show, ["respond", 200, "b"]] }));
        assert_eq!(rules[1], json!({ "prefix": "/a/", "actions": [show, ["progress.track"], ["respond", 200, "c"]] }));
        let text: Vec<_> = text(&site, &places).split_whitespace().map(String::from).collect();
        let expected = "if req.path =^ \"/a/\" { progress.show; if req.path == \"/a/b\" { respond 200 => \"b\"; } \
                        else { progress.track; respond 200 => \"c\"; } } else { respond 200 => \"x\"; }";
        assert!(text.join(" ").ends_with(expected), "{text:?}");
    }
}
