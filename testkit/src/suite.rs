//! How a test program declares its tests: each with a name, and with what it needs. Where that is missing the test is counted as
//! ignored, and says why.

use crate::engine::EngineKind;
use crate::host::{self, Host};
use libtest_mimic::Arguments;
pub use libtest_mimic::{Completion, Conclusion, Failed, Trial};

/// A test on a host. It fails by a panic.
pub struct Test {
    name: &'static str,
    needs: &'static [Need],
    run: Run,
}

#[derive(Clone, Copy)]
enum Run {
    Once(fn()),
    ForEach(&'static [usize], fn(usize)),
}

/// What a test cannot do without.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// A host, whichever it is.
    Host,
    /// lighttpd2 as the host, for this reason.
    Lighttpd2(&'static str),
    /// lighttpd2's angel.
    Angel,
    /// A module of lighttpd2, such as `mod_openssl`.
    ModuleOfLighttpd2(&'static str),
    /// The module under test.
    ModuleUnderTest,
    /// A program on the `PATH`.
    Program(&'static str),
    /// This engine.
    Engine(EngineKind),
    /// A browser that can be driven.
    Browser,
    /// What this provides, such as a package of a registry.
    Provided(fn() -> Result<(), String>),
    /// No other command around the host, for this reason.
    NoWrap(&'static str),
}

impl Test {
    /// A test that starts what it needs by itself.
    pub const fn new(name: &'static str, run: fn()) -> Self {
        Self { name, needs: &[], run: Run::Once(run) }
    }

    /// A test that gets one worker.
    pub const fn with_one_worker(name: &'static str, run: fn(usize)) -> Self {
        Self { name, needs: &[], run: Run::ForEach(&[1], run) }
    }

    /// A test that runs with one worker, and with several.
    pub const fn with_workers(name: &'static str, run: fn(usize)) -> Self {
        Self { name, needs: &[], run: Run::ForEach(&[1, 4], run) }
    }

    /// The same test with what it needs besides a host.
    pub const fn needs(self, needs: &'static [Need]) -> Self {
        Self { needs, ..self }
    }

    /// The test, for each number of workers.
    pub fn trials(&self) -> Vec<Trial> {
        let needs = [&[Need::Host], self.needs].concat();
        let passing = |run: &dyn Fn()| {
            run();
            Ok(Completion::Completed)
        };
        match self.run {
            Run::Once(run) => vec![trial(self.name, &needs, move || passing(&run))],
            Run::ForEach(&[count], run) => vec![trial(self.name, &needs, move || passing(&|| run(count)))],
            Run::ForEach(counts, run) => {
                let each = counts.iter().map(|&count| {
                    let name = format!("{}::{count}_workers", self.name);
                    trial(name, &needs, move || passing(&|| run(count)))
                });
                each.collect()
            }
        }
    }
}

/// A test that runs where there is all that it needs. It fails by a panic too.
pub fn trial(
    name: impl Into<String>,
    needs: &[Need],
    run: impl FnOnce() -> Result<Completion, Failed> + Send + 'static,
) -> Trial {
    let needs = needs.to_vec();
    Trial::ignorable_test(name, move || match needs.into_iter().try_for_each(Need::check) {
        Err(missing) => Ok(Completion::ignored_with(missing)),
        Ok(()) => run(),
    })
}

/// Runs tests, as many at once as there are `threads`, if the command line does not say otherwise; without a number, as many as
/// there are processors.
pub fn run(trials: Vec<Trial>, threads: Option<usize>) -> Conclusion {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(threads);
    libtest_mimic::run(&arguments, trials)
}

/// As [`run`] for all of these tests, after a line that names the host: `NAME: the host is HOST`.
pub fn run_on_host(name: &str, tests: &[&[Test]], threads: usize) -> Conclusion {
    if !Arguments::from_args().list {
        match Host::choose() {
            Ok(host) => println!("{name}: the host is {host}"),
            Err(reason) => println!("{name}: there is no host: {reason}"),
        }
    }
    run(tests.iter().copied().flatten().flat_map(Test::trials).collect(), Some(threads))
}

impl Need {
    fn check(self) -> Result<(), String> {
        match self {
            Self::Host => Host::choose().map(drop),
            Self::Lighttpd2(reason) => match Host::choose()? {
                Host::Lighttpd2(_) => Ok(()),
                Host::StandIn(_) => Err(format!("only on lighttpd2: {reason}")),
            },
            Self::Angel => match Host::choose()? {
                Host::Lighttpd2(installed) => installed.angel().map(drop),
                Host::StandIn(_) => Err(String::from("only on lighttpd2: the stand-in has no angel")),
            },
            Self::ModuleOfLighttpd2(name) => match Host::choose()? {
                Host::Lighttpd2(installed) if installed.has(name) => Ok(()),
                Host::Lighttpd2(_) => Err(format!("no {name} is installed")),
                Host::StandIn(_) => Err(format!("only on lighttpd2: it needs {name}")),
            },
            Self::ModuleUnderTest => host::module().map(drop),
            Self::Program(name) => host::find_program(name).map(drop),
            Self::Engine(kind) => kind.program().map(drop),
            Self::Browser => ["chromium", "chromedriver"].into_iter().try_for_each(|name| Self::Program(name).check()),
            Self::Provided(provide) => provide(),
            Self::NoWrap(reason) if host::is_wrapped() => Err(format!("not under WRAP: {reason}")),
            Self::NoWrap(_) => Ok(()),
        }
    }
}
