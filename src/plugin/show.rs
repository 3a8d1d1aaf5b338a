//! `progress.show`: answers how far another request is.

use super::{Plugin, clock, config};
use lighttpd2::{Level, Log, VRequest};
use progress::{Format, Report, callback, request_id};

/// Answers with what is known of the id in the query string. Does nothing where there is no usable id, or where the
/// request is already handled.
pub fn show(vr: VRequest<'_>, plugin: Plugin<'_>, format: Format) {
    if vr.is_handled() {
        return;
    }
    let debug = config::is_debug(vr, plugin);
    let Some(id) = request_id(vr.query()) else {
        if debug {
            vr.log(Level::Debug, "progress.show: X-Progress-Id not specified");
        }
        return;
    };
    let Some(report) = plugin.data().table.report(id, clock::now()) else { return };
    if debug {
        let found = if report == Report::Unknown { "unknown" } else { "found" };
        vr.log(Level::Debug, &format!("progress.show: progress id \"{}\" {found}", id.bytes().escape_ascii()));
    }
    let callback = if format == Format::Jsonp { callback(vr.query()) } else { b"" };
    vr.respond(
        &[("Content-Type", "application/x-javascript"), ("Cache-Control", "no-store")],
        &format.write(&report, callback),
    );
}
