//! Which actions a request gets.

use crate::action::Action;
use crate::description::{Description, Statement};
use crate::server::StandInServer;

/// What is done with requests, in the order of the description.
pub struct Rules<'s>(Vec<Rule<'s>>);

struct Rule<'s> {
    path: Option<String>,
    prefix: Option<String>,
    actions: Vec<Action<'s>>,
}

impl<'s> Rules<'s> {
    /// Sets the server up, and makes the actions, as `description` says. What fails besides is in the log.
    pub fn new(server: &'s StandInServer, description: Description) -> Result<Self, String> {
        for statement in &description.setup {
            if !server.set_up(&statement.name, statement.value().as_ref()) {
                return Err(format!("setup '{}' failed", statement.name));
            }
        }
        let rules = description.rules.into_iter().map(|rule| {
            let actions = rule.actions.iter().map(|statement| action(server, statement)).collect::<Result<_, _>>()?;
            Ok(Rule { path: rule.path, prefix: rule.prefix, actions })
        });
        Ok(Self(rules.collect::<Result<_, String>>()?))
    }

    /// What is done with a request for `path`.
    pub fn actions(&self, path: &[u8]) -> &[Action<'s>] {
        self.0.iter().find(|rule| rule.matches(path)).map_or(&[], |rule| &rule.actions)
    }
}

impl Rule<'_> {
    fn matches(&self, path: &[u8]) -> bool {
        match (&self.path, &self.prefix) {
            (None, None) => true,
            (whole, prefix) => {
                whole.as_ref().is_some_and(|whole| whole.as_bytes() == path)
                    || prefix.as_ref().is_some_and(|prefix| path.starts_with(prefix.as_bytes()))
            }
        }
    }
}

fn action<'s>(server: &'s StandInServer, statement: &Statement) -> Result<Action<'s>, String> {
    let action = match statement.own_action() {
        Some(own) => own.map(Action::Own).map_err(|reason| server.log.error(&reason)).ok(),
        None => server.action(&statement.name, statement.value().as_ref()),
    };
    action.ok_or_else(|| format!("action '{}' failed", statement.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_matches_by_path_or_prefix() {
        let rule = |path: Option<&str>, prefix: Option<&str>| Rule {
            path: path.map(String::from),
            prefix: prefix.map(String::from),
            actions: Vec::new(),
        };
        for (path, prefix, request, matches) in [
            (Some("/a"), None, "/a", true),
            (Some("/a"), None, "/ab", false),
            (None, Some("/a"), "/ab", true),
            (None, Some("/a"), "/b", false),
            (None, None, "/", true),
        ] {
            assert_eq!(rule(path, prefix).matches(request.as_bytes()), matches, "{path:?} {prefix:?} {request}");
        }
    }
}
