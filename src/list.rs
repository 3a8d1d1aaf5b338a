//! `progress.list`: tells operators all that is known.

use crate::shared::{Desk, Plugin, Progress};
use crate::{clock, config};
use lighttpd2::{ActionFn, Bytes, Method, Outlet, Refusal, VRequest, Value, at_once};
use progress::{List, ListError, ListQuery};
use std::collections::VecDeque;

/// Lists that are being written at a worker, in the order of their turns.
#[derive(Default)]
pub struct Local(VecDeque<(Outlet, List)>);

/// The action with its value.
pub fn create(progress: &Progress, value: Value<'_>) -> Result<ActionFn<Progress>, Refusal> {
    let has_ids = config::has_ids("progress.list", value)?;
    progress.keep_details("progress.list")?;
    Ok(at_once(move |plugin, vr| {
        if !vr.is_handled() {
            answer(plugin, vr, has_ids);
        }
    }))
}

/// Answers a request that nothing has handled with what its query string asks for; `has_ids`: with whole ids.
pub fn answer(plugin: Plugin<'_>, vr: VRequest<'_>, has_ids: bool) {
    let progress = plugin.module();
    let (Some(table), Some(desk)) = (progress.table(), vr.desk(plugin)) else { return };
    if table.is_off() {
        return;
    }
    let query = match ListQuery::new(vr.query()) {
        Ok(query) => query,
        Err(error) => return refuse(vr, &error),
    };
    set_headers(vr, "application/json");
    if vr.method() == Some(Method::HEAD) {
        vr.respond(200, b"");
        return;
    }
    let Ok(totals) = table.totals() else { return };
    let mut list = List::new(query, has_ids, config::success(vr, plugin), clock::unix_time);
    let (now, mut body) = (clock::now(), Vec::new());
    list.begin(&totals, progress.watchers(), now, &mut body);
    let is_left = list.go_on(table, now, &mut body);
    if !is_left {
        vr.respond(200, &body);
    } else if let Some(outlet) = desk.respond(vr, 200) {
        desk.send(outlet, &Bytes::new(&body));
        desk.local().lists.0.push_back((outlet, list));
        plugin.wake(desk.number());
        desk.start_beating();
    }
}

/// Answers a request whose query string has a parameter that is none.
pub fn refuse(vr: VRequest<'_>, error: &ListError) {
    set_headers(vr, "text/plain");
    vr.respond(400, format!("{error}\n").as_bytes());
}

/// Gives an answer for operators the headers that all of them have.
pub fn set_headers(vr: VRequest<'_>, content_type: &str) {
    vr.set_response_header("Content-Type", content_type.as_bytes());
    vr.set_response_header("X-Content-Type-Options", b"nosniff");
    vr.set_response_header("Cache-Control", b"no-store");
}

/// Writes some more of one list whose client has taken what there was; whether any is left.
pub fn go_on(plugin: Plugin<'_>, desk: Desk<'_>) -> bool {
    let lists = &mut desk.local().lists.0;
    let progress = plugin.module();
    let Some(table) = progress.table().filter(|_| !progress.is_stopping()) else {
        lists.drain(..).for_each(|(outlet, _)| desk.close(outlet));
        return false;
    };
    let ready = lists.iter().position(|(outlet, _)| desk.is_idle(*outlet));
    if let Some((outlet, mut list)) = ready.and_then(|number| lists.remove(number)) {
        let mut body = Vec::new();
        let is_left = list.go_on(table, clock::now(), &mut body);
        desk.send(outlet, &Bytes::new(&body));
        if is_left {
            lists.push_back((outlet, list));
        } else {
            desk.close(outlet);
        }
        // Others have their turn meanwhile. Who is slower than that is looked at when the worker beats.
        plugin.wake(desk.number());
    }
    !lists.is_empty()
}

/// A client has gone.
pub fn gone(desk: Desk<'_>, outlet: Outlet) {
    desk.local().lists.0.retain(|(other, _)| *other != outlet);
}
