//! Safe views of lighttpd2's objects.
//!
//! A view is made from a pointer by an `unsafe` function, whose contract its methods rest on: what it points at is what
//! the type says and lives as long as the view, and the calling thread is the one that lighttpd2 lets touch it. Views are
//! neither `Send` nor `Sync`. What lighttpd2 promises of threads and lifetimes is told in `docs/design.md`.

#[cfg(not(target_pointer_width = "64"))]
compile_error!("the byte counts of a running request are read as one word: only 64-bit targets have them so");

/// What the signatures of lighttpd2's callbacks are made of.
pub mod abi {
    pub use crate::sys::{
        LI_HANDLER_GO_ON, LI_VALUE_BOOLEAN, LI_VALUE_LIST, gboolean, liAction, liConnection, liHandlerResult, liModule,
        liModules, liOptionValue, liPlugin, liServer, liVRequest, liValue, liWorker,
    };
}
mod connection;
mod counters;
mod log;
pub mod plugin;
mod server;
pub mod sys;
mod value;
mod vrequest;

pub use connection::Connection;
pub use counters::LiveCounters;
pub use log::{Level, Log};
pub use plugin::{Plugin, Registration, new_action};
pub use server::{Modules, Server};
pub use value::{Value, store_number};
pub use vrequest::{Method, Slot, VRequest};

/// glib's `TRUE` or `FALSE`.
pub fn gboolean(value: bool) -> abi::gboolean {
    value.into()
}
