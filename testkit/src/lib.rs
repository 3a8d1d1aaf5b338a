//! Starts a host with the module under test, talks to it, and checks what it left in its log.
//!
//! A [`Site`] describes what is served: workers, setups, and rules with their actions. [`Site::serve`] starts a host with
//! it, hands the [`RunningHost`] to a test, stops it gracefully, and panics if it did not end well or if its log holds
//! a line that the test did not announce. There are two hosts, and the same description serves for both: lighttpd2, and
//! the stand-in of this project where there is none ([`Host`]). Around a host there are [`Client`], which sends and reads
//! exact bytes, and [`Backend`], which answers behind `proxy` as a script tells it. [`suite`] declares tests, and counts those
//! as ignored that cannot run here. Other programs run as [`Process`], and nothing that is started here outlives its test, even
//! if that is killed.
//!
//! Everything listens on 127.0.0.1, on ports that were free; waiting ends at a deadline ([`wait`]).
//!
//! | variable | meaning |
//! | --- | --- |
//! | `HOST` | `lighttpd2` or `standin`; without it lighttpd2 where there is one, else the stand-in |
//! | `LIGHTTPD2_WORKER` | the `lighttpd2-worker` to run; without it one on the `PATH` or in the usual prefixes |
//! | `LIGHTTPD2_MODULES` | the directory of its modules; without it the one in the worker's prefix |
//! | `STANDIN` | the stand-in's program; without it the one built with the tests |
//! | `MODULE` | the module under test; without it the one built with the tests |
//! | `C_MODULE` | lighttpd2's own module, to compare with; without it the one that is installed |
//! | `WRAP` | a command to put in front of the host's, such as `valgrind --error-exitcode=99 --log-file=FILE.%p` |
//! | `PATIENCE` | a factor for all deadlines; default 1 |

mod backend;
mod child;
mod client;
mod config;
mod engine;
mod events;
mod folder;
mod host;
mod log;
mod port;
mod process;
mod report;
mod response;
mod running;
mod site;
pub mod suite;
mod tls;
mod usage;
pub mod wait;

pub use backend::{Backend, Request, Step};
pub use child::output;
pub use client::{Client, End, head};
pub use engine::{Engine, EngineKind, Link};
pub use events::{Event, Events};
pub use host::{Host, Lighttpd2, built, find_program, is_wrapped, module};
pub use log::{Level, Line};
pub use port::ReservedPort;
pub use process::Process;
pub use report::{Report, State};
pub use response::HttpResponse;
pub use running::{RunningHost, Stopped};
pub use rustix::process::Signal;
pub use site::{Checked, Rule, Site};
pub use usage::Usage;
