//! A stand-in for lighttpd2, for tests and demonstration only. It is not lighttpd2, and no server for anything else.
//!
//! It plays lighttpd2 towards `libmod_progress.so`, so that the module can be seen and tested where no lighttpd2 is
//! installed: it loads the built module, exports the functions that the module calls ([`exports`]), lays out its objects
//! by the module's own declarations in `include/` ([`server`], [`plugin`], [`options`], [`request`], [`value`]), runs its
//! timers and watchers ([`event_loop`], [`waitqueue`], [`watcher`]), streams and jobs, lets requests wait in its actions, and
//! serves HTTP/1.1 on loopback with several workers ([`serve`]), as a JSON file describes it ([`description`]).
//!
//! ```text
//! standin FILE       serves; prints "listening 127.0.0.1:PORT" when it is ready; SIGTERM or SIGINT stops it
//! standin -t FILE    tests the description only
//! ```
//!
//! It is stricter than lighttpd2: what the module may not look at any more is poisoned or inaccessible ([`memory`]), and it
//! ends with a message where the module uses a request or a timer on another thread, writes where it knows nothing of, or
//! breaks another rule. Where it answers otherwise than lighttpd2, that is to keep it small: it sends no `Date`, has no error
//! pages, and reads the body of a request that was answered early before it looks for the next request. A stream of the
//! module's own can give a response, and nothing else; a request that a backend or a sink answers cannot wait in an action.

pub mod action;
mod buffer;
pub mod description;
mod ending;
pub mod event_loop;
pub mod exports;
mod headers;
pub mod http;
mod jobs;
pub mod log;
mod lvalue;
pub mod memory;
pub mod module;
pub mod names;
mod objects;
pub mod options;
mod out;
mod pattern;
pub mod plugin;
pub mod pointer;
pub mod request;
mod request_options;
mod scratch;
pub mod serve;
pub mod server;
mod stage;
mod state;
mod stream;
pub mod value;
pub mod waitqueue;
pub mod watcher;
mod wire;
