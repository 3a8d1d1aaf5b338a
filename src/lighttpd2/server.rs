//! The server.

use super::log::{self, Level, Log};
use super::module::LayoutError;
use crate::sys;
use std::ptr::{self, NonNull};
use std::slice;

/// The server.
#[derive(Clone, Copy)]
pub struct Server(NonNull<sys::liServer>);

impl Server {
    /// # Safety
    /// `srv` is lighttpd2's server, and outlives the view.
    pub(super) unsafe fn new(srv: *mut sys::liServer) -> Option<Self> {
        NonNull::new(srv).map(Self)
    }

    /// The pointer that lighttpd2 knows it by.
    pub(super) fn as_ptr(self) -> *mut sys::liServer {
        self.0.as_ptr()
    }

    /// Whether it is the kind of server that this module is written for.
    pub(super) fn check_magic(self) -> Result<(), LayoutError> {
        // SAFETY: `new` was promised a server; the number stands at its beginning so that it can be compared.
        let magic = unsafe { (*self.as_ptr()).magic };
        let expected = sys::LIGHTTPD_SERVER_MAGIC;
        if magic == expected {
            Ok(())
        } else {
            Err(LayoutError(format!("server magic {magic:#x} instead of {expected:#x}")))
        }
    }

    /// How many workers it has.
    pub fn worker_count(self) -> usize {
        // SAFETY: `new` was promised a server, whose number of workers does not change once they are prepared.
        unsafe { (*self.as_ptr()).worker_count as usize }
    }

    /// Whether the server and its workers look as this module's declarations say. To be asked when the workers are there.
    pub(super) fn check_workers(self) -> Result<(), LayoutError> {
        self.check_magic()?;
        let srv = self.as_ptr();
        // SAFETY: `new` was promised a server; its array of workers is complete in `handle_prepare`.
        let (count, workers, main_worker) =
            unsafe { ((*srv).worker_count, (*srv).workers.as_ref(), (*srv).main_worker) };
        let Some(workers) = workers.filter(|workers| !workers.data.is_null()) else {
            return Err(LayoutError(String::from("no array of workers")));
        };
        if workers.len != count || count == 0 {
            return Err(LayoutError(format!("{count} workers, but an array of {}", workers.len)));
        }
        // SAFETY: the array holds `len` pointers to workers.
        let workers: &[*mut sys::liWorker] =
            unsafe { slice::from_raw_parts(workers.data.cast(), workers.len as usize) };
        if workers[0] != main_worker {
            return Err(LayoutError(String::from("worker 0 is not the main worker")));
        }
        for (number, &worker) in workers.iter().enumerate() {
            if worker.is_null() {
                return Err(LayoutError(format!("worker {number} is missing")));
            }
            // SAFETY: it is a worker of the array.
            let (owner, index) = unsafe { ((*worker).srv, (*worker).ndx) };
            if owner != srv || index as usize != number {
                return Err(LayoutError(format!("worker {number} says it is worker {index} or of another server")));
            }
        }
        Ok(())
    }
}

impl Log for Server {
    #[track_caller]
    fn log(&self, level: Level, text: &str) {
        // SAFETY: `new` was promised a server.
        unsafe { log::write(self.as_ptr(), ptr::null_mut(), level, text) }
    }
}
