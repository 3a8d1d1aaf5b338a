//! The error log.

use crate::sys;
use std::ffi::{c_char, c_int};
use std::panic::Location;
use std::ptr;

/// How grave a line is.
#[derive(Clone, Copy, Debug)]
pub enum Level {
    /// Details, for who asked for them.
    Debug,
    /// Good to know.
    Info,
    /// Something is odd.
    Warning,
    /// Something was refused or failed.
    Error,
}

/// What has a log.
pub trait Log {
    /// Writes a line to it, with the caller's place in front as lighttpd2's own lines have it.
    #[track_caller]
    fn log(&self, level: Level, text: &str);
}

/// Writes a line to the log of `context`, or of `srv` where that is NULL.
///
/// No worker is named to lighttpd2, which would keep the line until that worker's next turn: so lines of several workers
/// stand in the order in which they were written.
///
/// # Safety
/// `srv` is a live server; `context` is NULL, or that of a request of the calling thread's worker.
#[track_caller]
pub(super) unsafe fn write(srv: *mut sys::liServer, context: *mut sys::liLogContext, level: Level, text: &str) {
    let place = Location::caller();
    let file = place.file().rsplit(['/', '\\']).next().unwrap_or_default();
    let (level, name) = match level {
        Level::Debug => (sys::LI_LOG_LEVEL_DEBUG, "debug"),
        Level::Info => (sys::LI_LOG_LEVEL_INFO, "info"),
        Level::Warning => (sys::LI_LOG_LEVEL_WARNING, "warning"),
        Level::Error => (sys::LI_LOG_LEVEL_ERROR, "error"),
    };
    let line = format!("({name}) {file}:{}: {text}", place.line());
    let length = c_int::try_from(line.len()).unwrap_or(c_int::MAX);
    // SAFETY: the caller vouches for server and context; without a worker any thread may write. As many bytes are read
    // at most.
    unsafe {
        sys::glue_log_write(
            srv,
            ptr::null_mut(),
            context,
            level,
            sys::LI_LOG_FLAG_TIMESTAMP,
            line.as_ptr().cast::<c_char>(),
            length,
        )
    };
}
