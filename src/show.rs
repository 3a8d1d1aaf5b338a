//! `progress.show`: answers how far another request is.

use crate::shared::{Plugin, Progress};
use crate::{clock, config};
use lighttpd2::{ActionFn, Level, Log, Refusal, VRequest, Value};
use progress::{Format, callback, request_id};

/// The action with its value.
pub fn create(value: Value<'_>) -> Result<ActionFn<Progress>, Refusal> {
    let format = config::format(value)?;
    Ok(Box::new(move |plugin, vr| show(plugin, vr, format)))
}

/// Answers with what is known of the id in the query string. Does nothing where there is no usable id, or where the
/// request is already handled.
fn show(plugin: Plugin<'_>, vr: VRequest<'_>, format: &Format) {
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
    let Some(Ok(snapshot)) = plugin.module().table().map(|table| table.look_up(id, clock::now())) else { return };
    if debug {
        let found = if snapshot.is_none() { "unknown" } else { "found" };
        vr.log(Level::Debug, &format!("progress.show: progress id \"{}\" {found}", id.bytes().escape_ascii()));
    }
    let callback = if format.has_callback { callback(vr.query()) } else { b"" };
    vr.respond(
        &[("Content-Type", format.content_type), ("Cache-Control", "no-store")],
        &format.write(snapshot.as_ref(), callback),
    );
}
