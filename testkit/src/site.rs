//! What a host is to serve.

use crate::config::{self, Places};
use crate::folder::{Folder, Module};
use crate::host::Host;
use crate::log::{Announced, Level, Line};
use crate::process::Process;
use crate::running::{RunningHost, Stopped};
use crate::wait;
use serde_json::Value;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitStatus;

/// A site: what to serve, with which settings, and which lines the host's log may hold in the end.
#[derive(Clone, Default)]
pub struct Site {
    pub(crate) workers: usize,
    pub(crate) setups: Vec<(String, Value)>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) files: Vec<(String, u64)>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) announced: Vec<Announced>,
    pub(crate) is_tls: bool,
    pub(crate) has_angel: bool,
    /// In seconds.
    pub(crate) io_timeout: Option<u32>,
    pub(crate) module: Module,
    pub(crate) lighttpd2_options: Vec<(String, Value)>,
    /// Of the stand-in.
    pub(crate) memory: Option<String>,
    pub(crate) wrap: Vec<OsString>,
    pub(crate) written: Option<String>,
}

/// Which requests a rule is for.
#[derive(Clone)]
pub(crate) enum Which {
    Path(String),
    Prefix(String),
    Matching(String),
    All,
}

#[derive(Clone)]
pub(crate) enum Action {
    Call { name: String, value: Value },
    Respond { status: u16, body: String },
    Files,
    Proxy(SocketAddr),
    Stream,
    Header { name: String, value: String },
    Choose(Vec<Rule>),
}

/// Some requests, and the actions that run for them, one after the other.
#[derive(Clone)]
pub struct Rule {
    pub(crate) which: Which,
    pub(crate) actions: Vec<Action>,
}

impl Rule {
    /// Requests for this path.
    pub fn path(path: &str) -> Self {
        Self::new(Which::Path(path.to_string()))
    }

    /// Requests for paths that start so.
    pub fn prefix(path: &str) -> Self {
        Self::new(Which::Prefix(path.to_string()))
    }

    /// Requests for paths that a regular expression matches; on lighttpd2 only.
    pub fn matching(expression: &str) -> Self {
        Self::new(Which::Matching(expression.to_string()))
    }

    /// All requests.
    pub fn all() -> Self {
        Self::new(Which::All)
    }

    fn new(which: Which) -> Self {
        Self { which, actions: Vec::new() }
    }

    fn with(mut self, action: Action) -> Self {
        self.actions.push(action);
        self
    }

    /// `progress.track`
    pub fn track(self) -> Self {
        self.set("progress.track", ())
    }

    /// `progress.show`
    pub fn show(self) -> Self {
        self.set("progress.show", ())
    }

    /// `progress.show FORMAT`
    pub fn show_as(self, format: &str) -> Self {
        self.set("progress.show", format)
    }

    /// An action or option, with its value; `()` for none.
    pub fn set(self, name: &str, value: impl Into<Value>) -> Self {
        self.with(Action::Call { name: name.to_string(), value: value.into() })
    }

    /// Answers with this status and body, if nothing answers already.
    pub fn respond(self, status: u16, body: &str) -> Self {
        self.with(Action::Respond { status, body: body.to_string() })
    }

    /// Serves the site's files.
    pub fn files(self) -> Self {
        self.with(Action::Files)
    }

    /// Hands the request to a backend. lighttpd2 does so when it has the whole body.
    pub fn proxy(self, backend: SocketAddr) -> Self {
        self.with(Action::Proxy(backend))
    }

    /// Hands the request to a backend as it arrives.
    pub fn stream_to(self, backend: SocketAddr) -> Self {
        self.with(Action::Stream).proxy(backend)
    }

    /// Gives the response a header, in the place of one of that name; on lighttpd2 only.
    pub fn header(self, name: &str, value: &str) -> Self {
        self.with(Action::Header { name: name.to_string(), value: value.to_string() })
    }

    /// Follows the first of these rules that is for a request. They are for some of this rule's requests, and nothing comes
    /// after them in it.
    pub fn choose(self, rules: impl IntoIterator<Item = Self>) -> Self {
        self.with(Action::Choose(rules.into_iter().collect()))
    }
}

/// How a test of the configuration ended.
#[derive(Debug)]
pub struct Checked {
    /// How it exited.
    pub status: ExitStatus,
    /// All that it wrote to its log.
    pub log: Vec<Line>,
}

impl Site {
    /// A site with one worker that serves nothing yet.
    pub fn new() -> Self {
        Self { workers: 1, ..Self::default() }
    }

    /// What a configuration of lighttpd2's says, but that the host listens elsewhere than at `127.0.0.1:8080`; on lighttpd2 only.
    pub fn written(config: &str) -> Self {
        Self { written: Some(config.to_string()), ..Self::new() }
    }

    /// The number of workers.
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count;
        self
    }

    /// A setup or a default of an option; `()` where no value is given.
    pub fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.setups.push((name.to_string(), value.into()));
        self
    }

    /// Loads this module, in the place of the one under test.
    pub fn module(mut self, file: &Path) -> Self {
        self.module = Module::File(file.to_path_buf());
        self
    }

    /// Loads no module for progress; on lighttpd2 only.
    pub fn without_module(mut self) -> Self {
        self.module = Module::None;
        self
    }

    /// An option that is set for each request, before the rules; the stand-in has none of its own.
    pub fn lighttpd2_option(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.lighttpd2_options.push((name.to_string(), value.into()));
        self
    }

    /// What the stand-in does with released memory: `freed`, `poisoned` or `guarded`.
    pub fn memory(mut self, kind: &str) -> Self {
        self.memory = Some(kind.to_string());
        self
    }

    /// Puts a command in front of the host's, in the place of `WRAP`.
    pub fn wrap(mut self, words: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.wrap = words.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a rule. The first one that is for a request counts; where there is none, the answer is 404.
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Adds a file of that many bytes, for rules with [`Rule::files`].
    pub fn file(mut self, name: &str, size: u64) -> Self {
        self.files.push((name.to_string(), size));
        self
    }

    /// Serves it over TLS, with a certificate made for it; on lighttpd2 only.
    pub fn tls(mut self) -> Self {
        self.is_tls = true;
        self
    }

    /// Lets lighttpd2's angel start it, so that it can be [reloaded](RunningHost::reload); on lighttpd2 only.
    pub fn angel(mut self) -> Self {
        self.has_angel = true;
        self
    }

    /// lighttpd2 gives up on a connection where nothing has moved for so long. The stand-in does not.
    pub fn io_timeout(mut self, seconds: u32) -> Self {
        self.io_timeout = Some(seconds);
        self
    }

    /// Sets a variable in the host's environment.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_string(), value.to_string()));
        self
    }

    /// Announces a line of the log that has to be there. A `*` at the end stands for anything.
    pub fn expect_log(mut self, level: Level, text: &str) -> Self {
        self.announced.push(Announced { level, text: text.to_string(), is_due: true });
        self
    }

    /// Announces a line of the log that may be there. A `*` at the end stands for anything.
    pub fn allow_log(mut self, level: Level, text: &str) -> Self {
        self.announced.push(Announced { level, text: text.to_string(), is_due: false });
        self
    }

    /// Starts a host with it, and waits until it listens.
    ///
    /// # Errors
    /// Where the host ends, or does not listen in time, with its log.
    pub fn start(&self, host: &Host) -> Result<RunningHost, String> {
        RunningHost::start(self, host)
    }

    /// Serves it while `test` runs, then stops the host gracefully.
    ///
    /// # Panics
    /// Where the host does not start, has ended when `test` is over, does not end with status 0 in time, or has a line in
    /// its log that was not announced.
    #[track_caller]
    pub fn serve<R>(&self, test: impl FnOnce(&RunningHost) -> R) -> R {
        let host = Host::choose().unwrap_or_else(|error| panic!("{error}"));
        let server = self.start(&host).unwrap_or_else(|error| panic!("{error}"));
        let result = test(&server);
        let stopped: Stopped = server.stop().unwrap_or_else(|error| panic!("{error}"));
        stopped.assert_fine(self);
        result
    }

    /// Lets the host test the configuration, without serving it.
    ///
    /// # Panics
    /// Where the host cannot be run, or does not end in time.
    #[track_caller]
    pub fn check(&self) -> Checked {
        let host = Host::choose().unwrap_or_else(|error| panic!("{error}"));
        let folder = Folder::new(self, &host).unwrap_or_else(|error| panic!("{error}"));
        let command = folder.command(self, &host, &["-t"]).unwrap_or_else(|error| panic!("{error}"));
        let mut process = Process::start(command).unwrap_or_else(|error| panic!("{error}"));
        let status = process.wait(wait::deadline()).unwrap_or_else(|error| panic!("{error}"));
        Checked { status, log: process.log() }
    }

    /// Its description for `host`.
    pub(crate) fn describe(&self, host: &Host, places: &Places<'_>) -> String {
        match host {
            Host::Lighttpd2(_) => match &self.written {
                Some(config) => config.replacen("127.0.0.1:8080", &places.address.to_string(), 1),
                None => config::text(self, places),
            },
            Host::StandIn(_) => {
                assert!(self.written.is_none(), "the stand-in reads no configuration of lighttpd2's");
                format!("{:#}", config::json(self, places))
            }
        }
    }
}
