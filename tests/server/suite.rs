//! How a test is declared.

use libtest_mimic::{Completion, Trial};
use std::process::Command;
use testkit::{Host, is_wrapped};

/// A test for one or more numbers of workers. It fails by a panic.
pub struct Test {
    name: &'static str,
    workers: &'static [usize],
    needs: &'static [Need],
    run: fn(usize),
}

/// What a test cannot do without.
#[derive(Clone, Copy)]
pub enum Need {
    /// lighttpd2 as the host, for this reason.
    Lighttpd2(&'static str),
    /// A module of lighttpd2.
    Module(&'static str),
    /// The `openssl` command.
    Openssl,
    /// No other command around the host, for this reason.
    NoWrap(&'static str),
}

impl Test {
    /// A test that gets one worker.
    pub const fn new(name: &'static str, run: fn(usize)) -> Self {
        Self { name, workers: &[1], needs: &[], run }
    }

    /// A test that runs with one worker, and with several.
    pub const fn with_workers(name: &'static str, run: fn(usize)) -> Self {
        Self { workers: &[1, 4], ..Self::new(name, run) }
    }

    pub const fn needs(self, needs: &'static [Need]) -> Self {
        Self { needs, ..self }
    }

    pub fn trials(&self) -> Vec<Trial> {
        let &Self { name, workers, needs, run } = self;
        let trial = |&count: &usize| {
            let name = if workers.len() > 1 { format!("{name}::{count}_workers") } else { name.to_string() };
            Trial::ignorable_test(name, move || {
                let missing = Host::choose().and_then(|host| needs.iter().try_for_each(|need| need.check(&host)));
                if let Err(reason) = missing {
                    return Ok(Completion::ignored_with(reason));
                }
                run(count);
                Ok(Completion::Completed)
            })
        };
        workers.iter().map(trial).collect()
    }
}

impl Need {
    fn check(self, host: &Host) -> Result<(), String> {
        match (self, host) {
            (Self::Lighttpd2(reason), Host::StandIn(_)) => Err(format!("only on lighttpd2: {reason}")),
            (Self::Module(name), Host::Lighttpd2(installed)) if !installed.has(name) => {
                Err(format!("no {name} is installed"))
            }
            (Self::Module(name), Host::StandIn(_)) => Err(format!("only on lighttpd2: it needs {name}")),
            (Self::Openssl, _) if Command::new("openssl").arg("version").output().is_err() => {
                Err(String::from("the openssl command is not there"))
            }
            (Self::NoWrap(reason), _) if is_wrapped() => Err(format!("not under WRAP: {reason}")),
            _ => Ok(()),
        }
    }
}
