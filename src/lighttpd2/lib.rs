//! lighttpd2, as its modules see it: safe views of its objects, and what it calls.
//!
//! | file | what it has |
//! | --- | --- |
//! | `sys` | lighttpd2's ABI, as bindgen writes it from `include/` and `lighttpd2-glue/` |
//! | `module` | [`Module`]: what a module has to say of itself; [`load`] and [`unload`] |
//! | `rows` | its tables: setups, options, actions |
//! | `trampolines` | the functions that lighttpd2 calls, for any module; `guard` is where a panic in one of them ends |
//! | `plugin` | a module's plugin, as lighttpd2 keeps it |
//! | `timer` | a timer for each worker |
//! | `desk` | what a module has at each worker: its own state, responses that go on, ways to be called |
//! | `waits`, `wire` | what is at a desk besides: requests that wait, and a socket |
//! | `response` | hears of the responses of tracked requests as they go |
//! | `server`, `connection`, `vrequest`, `value`, `pattern`, `counters`, `log` | lighttpd2's objects |
//!
//! A view is made from a pointer by an `unsafe` function, whose contract its methods rest on: what it points at is what
//! the type says and lives as long as the view, and the calling thread is the one that lighttpd2 lets touch it. Views of
//! requests and connections are neither `Send` nor `Sync`. What lighttpd2 promises of threads and lifetimes is told in
//! `docs/design.md`.

#[cfg(not(target_pointer_width = "64"))]
compile_error!("the byte counts of a running request are read as one word: only 64-bit targets have them so");

mod connection;
mod counters;
mod desk;
mod guard;
mod log;
mod module;
mod pattern;
mod plugin;
mod response;
mod rows;
mod server;
pub mod sys;
mod timer;
mod trampolines;
mod value;
mod vrequest;
mod waits;
mod wire;

pub use connection::{Closing, Connection};
pub use counters::{Counts, LiveCounters};
pub use desk::{Bytes, Desk, Outlet};
pub use log::{Level, Log};
pub use module::{LayoutError, Module, load, unload};
pub use pattern::{Pattern, PatternError};
pub use plugin::Plugin;
pub use response::Beginning;
pub use rows::{
    Action, ActionFn, BooleanOption, Boxed, BoxedOption, NumberOption, OptionKind, OptionRow, Performed, Refusal,
    Setup, at_once,
};
pub use server::Server;
pub use timer::Again;
pub use value::{Type, Value};
pub use vrequest::{Method, Slot, VRequest};
pub use waits::Wait;
