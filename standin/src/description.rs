//! What the stand-in is to do, as it is described in JSON.
//!
//! ```json
//! {
//!   "module": "/path/libmod_progress.so",
//!   "workers": 4,
//!   "memory": "poisoned",
//!   "setup": [["progress.ttl", 30], ["progress.methods", ["GET", "POST"]]],
//!   "rules": [
//!     {"path": "/progress", "actions": [["progress.show"], ["respond", 404, "no id\n"]]},
//!     {"prefix": "/up", "actions": [["progress.track"], ["sink", {"bytes_per_second": 2000000}]]},
//!     {"actions": [["respond", 200, "x"]]}
//!   ]
//! }
//! ```
//!
//! The first rule whose `path` is the request's path, or whose `prefix` it starts with, is followed; without either it
//! matches every request. Besides the module's own actions and options there are
//!
//! | action | what it does |
//! | --- | --- |
//! | `["respond", STATUS, TEXT]` | answers at once; both are optional |
//! | `["docroot", FOLDER]` | answers with the file of that path below the folder, unless another action answers |
//! | `["proxy", "HOST:PORT"]` | passes the request on, and what follows where the backend upgrades the connection |
//! | `["sink", {"bytes_per_second": N}]` | takes the body, no faster than N if that is given, then answers |

use crate::memory::Memory;
use crate::value::Data;
use serde::Deserialize;
use serde_json::Value as Json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A description.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The module to load.
    pub module: PathBuf,
    /// How many workers there are.
    #[serde(default = "one")]
    pub workers: u32,
    /// What becomes of released memory.
    #[serde(default)]
    pub memory: Memory,
    /// What is set up, in this order.
    #[serde(default)]
    pub setup: Vec<Statement>,
    /// What is done with requests.
    #[serde(default)]
    pub rules: Vec<RuleDescription>,
}

/// What is done with some requests.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleDescription {
    /// The path of the requests that are meant.
    #[serde(default)]
    pub path: Option<String>,
    /// The beginning of that path.
    #[serde(default)]
    pub prefix: Option<String>,
    /// What is done, in this order.
    pub actions: Vec<Statement>,
}

/// A name and what follows it.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Vec<Json>")]
pub struct Statement {
    /// The name.
    pub name: String,
    /// What follows.
    pub parameters: Vec<Json>,
}

/// What the stand-in itself can do with a request.
#[derive(Debug, PartialEq)]
pub enum OwnAction {
    /// Answer at once.
    Respond {
        /// The HTTP status.
        status: i32,
        /// The body.
        body: Vec<u8>,
    },
    /// Answer with a file from below this folder.
    Docroot(PathBuf),
    /// Pass it on to this server.
    Proxy(SocketAddr),
    /// Take the body.
    Sink {
        /// No faster than this.
        bytes_per_second: Option<u64>,
    },
}

fn one() -> u32 {
    1
}

impl TryFrom<Vec<Json>> for Statement {
    type Error = String;

    fn try_from(items: Vec<Json>) -> Result<Self, String> {
        let mut items = items.into_iter();
        match items.next() {
            Some(Json::String(name)) => Ok(Self { name, parameters: items.collect() }),
            _ => Err(String::from("a statement begins with a name")),
        }
    }
}

impl Description {
    /// Reads one from a file.
    pub fn read(file: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        let description: Self =
            serde_json::from_str(&text).map_err(|error| format!("error in {}: {error}", file.display()))?;
        if description.workers == 0 { Err(String::from("at least one worker is needed")) } else { Ok(description) }
    }
}

impl Statement {
    /// What a plugin is given: NULL where nothing follows, else a list, as lighttpd2's configuration makes it.
    pub fn value(&self) -> Option<Data> {
        match self.parameters.as_slice() {
            [] | [Json::Null] => None,
            [list @ Json::Array(_)] => Some(list.clone().into()),
            parameters => Some(Json::from(parameters).into()),
        }
    }

    /// The stand-in's own action of this name, if it has one.
    pub fn own_action(&self) -> Option<Result<OwnAction, String>> {
        let action = match (self.name.as_str(), self.parameters.as_slice()) {
            ("respond", parameters) => respond(parameters),
            ("docroot", [Json::String(folder)]) => Some(OwnAction::Docroot(folder.into())),
            ("proxy", [Json::String(address)]) => address.parse().ok().map(OwnAction::Proxy),
            ("sink", []) => Some(OwnAction::Sink { bytes_per_second: None }),
            ("sink", [Json::Object(options)]) => options
                .get("bytes_per_second")
                .filter(|_| options.len() == 1)
                .and_then(Json::as_u64)
                .filter(|rate| *rate > 0)
                .map(|rate| OwnAction::Sink { bytes_per_second: Some(rate) }),
            ("docroot" | "proxy" | "sink", _) => None,
            _ => return None,
        };
        Some(action.ok_or_else(|| format!("{} cannot take {}", self.name, Json::from(self.parameters.as_slice()))))
    }
}

fn respond(parameters: &[Json]) -> Option<OwnAction> {
    let status = |number: &Json| number.as_i64().and_then(|status| i32::try_from(status).ok());
    let (status, body) = match parameters {
        [] => (200, ""),
        [Json::String(body)] => (200, body.as_str()),
        [number] => (status(number)?, ""),
        [number, Json::String(body)] => (status(number)?, body.as_str()),
        _ => return None,
    };
    Some(OwnAction::Respond { status, body: body.as_bytes().to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(text: &str) -> Statement {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn values_are_lists_of_parameters() {
        let text = |text: &str| Some(Data::String(text.into()));
        for (json, value) in [
            (r#"["progress.show"]"#, None),
            (r#"["progress.ttl", null]"#, None),
            (r#"["progress.ttl", 30]"#, Some(Data::List(vec![Some(Data::Number(30))]))),
            (r#"["progress.debug", true]"#, Some(Data::List(vec![Some(Data::Boolean(true))]))),
            (r#"["progress.methods", ["GET", "PUT"]]"#, Some(Data::List(vec![text("GET"), text("PUT")]))),
            (r#"["progress.methods", []]"#, Some(Data::List(vec![]))),
            (r#"["progress.ttl", [null]]"#, Some(Data::List(vec![Some(Data::None)]))),
        ] {
            assert_eq!(statement(json).value(), value, "{json}");
        }
    }

    #[test]
    fn knows_its_own_actions() {
        let respond = |status, body: &str| OwnAction::Respond { status, body: body.into() };
        for (json, action) in [
            (r#"["respond"]"#, Some(respond(200, ""))),
            (r#"["respond", 404]"#, Some(respond(404, ""))),
            (r#"["respond", "x"]"#, Some(respond(200, "x"))),
            (r#"["respond", 404, "x"]"#, Some(respond(404, "x"))),
            (r#"["respond", "x", 404]"#, None),
            (r#"["docroot", "/www"]"#, Some(OwnAction::Docroot("/www".into()))),
            (r#"["docroot"]"#, None),
            (r#"["proxy", "127.0.0.1:80"]"#, Some(OwnAction::Proxy(([127, 0, 0, 1], 80).into()))),
            (r#"["proxy", "nowhere"]"#, None),
            (r#"["sink"]"#, Some(OwnAction::Sink { bytes_per_second: None })),
            (r#"["sink", {"bytes_per_second": 5}]"#, Some(OwnAction::Sink { bytes_per_second: Some(5) })),
            (r#"["sink", {"bytes_per_second": 0}]"#, None),
            (r#"["sink", {"rate": 5}]"#, None),
        ] {
            assert_eq!(statement(json).own_action().unwrap().ok(), action, "{json}");
        }
        assert!(statement(r#"["progress.show"]"#).own_action().is_none());
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for text in [
            r#"{}"#,
            r#"{"module": "m", "worker": 1}"#,
            r#"{"module": "m", "memory": "free"}"#,
            r#"{"module": "m", "setup": [[]]}"#,
            r#"{"module": "m", "setup": [[1]]}"#,
            r#"{"module": "m", "rules": [{"path": "/"}]}"#,
        ] {
            assert!(serde_json::from_str::<Description>(text).is_err(), "{text}");
        }
    }
}
