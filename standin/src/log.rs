//! The error log, in lighttpd2's form.

use lighttpd2::sys;
use std::ffi::CStr;
use std::io::{self, Write};
use std::panic::Location;
use std::sync::{Mutex, PoisonError};

/// Where log lines go.
pub enum Log {
    /// To standard error, with the time in front.
    Stderr,
    /// Nowhere but here, for tests.
    Kept(Mutex<Vec<String>>),
}

impl Log {
    /// A log that keeps its lines.
    pub fn kept() -> Self {
        Self::Kept(Mutex::default())
    }

    /// Writes a line as it is; `with_time` as lighttpd2 was asked to.
    pub fn line(&self, text: &str, with_time: bool) {
        match self {
            Self::Kept(lines) => lines.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_string()),
            Self::Stderr => {
                let time = if with_time { now() + " " } else { String::new() };
                // One write for each line, so that lines of different workers are not mixed.
                let _ = io::stderr().lock().write_all(format!("{time}{text}\n").as_bytes());
            }
        }
    }

    /// Writes an error of the stand-in's own.
    #[track_caller]
    pub fn error(&self, text: &str) {
        let place = Location::caller();
        let file = place.file().rsplit('/').next().unwrap_or_default();
        self.line(&format!("(error) {file}:{}: {text}", place.line()), true);
    }

    /// The lines that were kept since the last time.
    pub fn take(&self) -> Vec<String> {
        match self {
            Self::Kept(lines) => std::mem::take(&mut lines.lock().unwrap_or_else(PoisonError::into_inner)),
            Self::Stderr => Vec::new(),
        }
    }
}

/// The local time, as lighttpd2 writes it by default.
fn now() -> String {
    let mut text = [0; 64];
    // SAFETY: a `tm` is made of numbers and of a pointer that may be NULL.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: `time` accepts NULL; the others write into what is there for them, `strftime` with a NUL at the end.
    unsafe {
        let seconds = libc::time(std::ptr::null_mut());
        libc::localtime_r(&raw const seconds, &raw mut parts);
        libc::strftime(text.as_mut_ptr(), text.len(), c"%d/%b/%Y %T %Z".as_ptr(), &raw const parts);
        CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned()
    }
}

/// Whether lighttpd2 knows a level of that number.
pub fn is_level(level: sys::liLogLevel) -> bool {
    level <= sys::LI_LOG_LEVEL_BACKEND
}
