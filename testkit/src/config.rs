//! The two forms of a site's description: lighttpd2's configuration, and the stand-in's JSON.

use crate::site::{Action, Rule, Site, Which};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;

/// Where things are that a description names.
pub struct Places<'a> {
    pub address: SocketAddr,
    pub module: &'a Path,
    /// The folder of the site's files.
    pub files: &'a Path,
    /// The certificate and its key, where the site is served over TLS.
    pub certificate: Option<&'a Path>,
}

/// lighttpd2's configuration.
pub fn text(site: &Site, places: &Places<'_>) -> String {
    let modules = ["mod_progress", "mod_proxy"].into_iter().chain(places.certificate.map(|_| "mod_openssl"));
    let modules: Vec<_> = modules.map(quoted).collect();
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
    for (number, rule) in site.rules.iter().enumerate() {
        let condition = match &rule.which {
            Which::Path(path) => format!("if req.path == {} ", quoted(path)),
            Which::Prefix(path) => format!("if req.path =^ {} ", quoted(path)),
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
    let rules: Vec<_> = site.rules.iter().map(|rule| rule_json(rule, places)).collect();
    json!({ "module": places.module, "workers": site.workers, "setup": setups, "rules": rules })
}

fn rule_json(rule: &Rule, places: &Places<'_>) -> Value {
    let actions: Vec<_> = rule.actions.iter().filter_map(|action| action_json(action, places)).collect();
    match &rule.which {
        Which::Path(path) => json!({ "path": path, "actions": actions }),
        Which::Prefix(path) => json!({ "prefix": path, "actions": actions }),
        Which::All => json!({ "actions": actions }),
    }
}

fn action_text(action: &Action, places: &Places<'_>) -> String {
    match action {
        Action::Call { name, value } => call(name, value),
        Action::Respond { status, body } => format!("respond {status} => {};", quoted(body)),
        Action::Files => format!("docroot {};", path(places.files)),
        Action::Proxy(address) => format!("proxy \"{address}\";"),
        Action::Stream => String::from("buffer_request_body false;"),
    }
}

/// `None` for what the stand-in does anyway.
fn action_json(action: &Action, places: &Places<'_>) -> Option<Value> {
    Some(match action {
        Action::Call { name, value: Value::Null } => json!([name]),
        Action::Call { name, value } => json!([name, value]),
        Action::Respond { status, body } => json!(["respond", status, body]),
        Action::Files => json!(["docroot", places.files]),
        Action::Proxy(address) => json!(["proxy", address.to_string()]),
        Action::Stream => return None,
    })
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
        Value::Array(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        // lighttpd2 reads -5 as 5, and - 5 as what it is.
        Value::Number(number) => number.to_string().replace('-', "- "),
        Value::Bool(_) => value.to_string(),
        Value::Null | Value::Object(_) => panic!("{value} has no form in lighttpd2's configuration"),
    }
}

fn path(path: &Path) -> String {
    quoted(path.to_str().expect("a path in UTF-8"))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
