//! How far a response is, as lighttpd2 says it in a connection and its request.

use lighttpd2::sys;

/// How far a response is, and how its connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    /// `info.aborted`.
    pub is_aborted: bool,
    /// `response_headers_sent`.
    pub has_headers: bool,
    /// `out_has_all_data`.
    pub is_complete: bool,
    /// Whether `out.source` is there.
    pub is_fed: bool,
    /// `io_timeout_elem.queued`.
    pub is_timed: bool,
    /// `mainvr->state`.
    pub state: sys::liVRequestState,
    /// The connection's `state`.
    pub connection: sys::liConnectionState,
}

impl Stage {
    /// That of a new request. A timeout of I/O runs from its first byte on, and lighttpd2 never takes it back before the
    /// request has ended, also where its body has come.
    pub const NEW: Self = Self {
        is_aborted: false,
        has_headers: false,
        is_complete: false,
        is_fed: false,
        is_timed: true,
        state: sys::LI_VRS_CLEAN,
        connection: sys::LI_CON_STATE_HANDLE_MAINVR,
    };

    /// Says so in a connection and its request; `feeder` is what feeds responses.
    ///
    /// # Safety
    /// `con` is a connection that nobody else uses now.
    pub unsafe fn write(self, con: *mut sys::liConnection, feeder: *mut sys::liStream) {
        // SAFETY: the caller promises it.
        unsafe {
            (*con).info.aborted = self.is_aborted.into();
            (*con).response_headers_sent = self.has_headers.into();
            (*con).out_has_all_data = self.is_complete.into();
            (*con).out.source = if self.is_fed { feeder } else { std::ptr::null_mut() };
            (*con).io_timeout_elem.queued = self.is_timed.into();
            (*(*con).mainvr).state = self.state;
            (*con).state = self.connection;
        }
    }

    /// Whether a connection says so.
    ///
    /// # Safety
    /// As for `write`.
    pub unsafe fn is_in(self, con: *const sys::liConnection, feeder: *mut sys::liStream) -> bool {
        // SAFETY: the caller promises it.
        unsafe {
            (*con).info.aborted == sys::gboolean::from(self.is_aborted)
                && (*con).response_headers_sent == sys::gboolean::from(self.has_headers)
                && (*con).out_has_all_data == sys::gboolean::from(self.is_complete)
                && (*con).out.source == if self.is_fed { feeder } else { std::ptr::null_mut() }
                && (*con).io_timeout_elem.queued == sys::gboolean::from(self.is_timed)
                && (*(*con).mainvr).state == self.state
                && (*con).state == self.connection
        }
    }
}
