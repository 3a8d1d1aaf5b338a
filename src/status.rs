//! `progress.status`: a page that shows operators what is going on.

use crate::shared::{Plugin, Progress};
use crate::{config, list};
use lighttpd2::{ActionFn, Level, Log, Refusal, VRequest, Value, at_once};
use progress::{ListQuery, Table};

/// The whole page, which asks for nothing but its own address with `data=list`.
const PAGE: &str = include_str!("status.html");

/// Where the page has to have what its policy names.
const NONCE: &str = "{nonce}";

/// The action with its value.
pub fn create(progress: &Progress, value: Value<'_>) -> Result<ActionFn<Progress>, Refusal> {
    let has_ids = config::has_ids("progress.status", value)?;
    progress.keep_details("progress.status")?;
    Ok(at_once(move |plugin, vr| {
        if vr.is_handled() {
            return;
        }
        match ListQuery::is_asked_for(vr.query()) {
            Ok(true) => list::answer(plugin, vr, has_ids),
            Ok(false) => show(plugin, vr),
            Err(error) => list::refuse(vr, &error),
        }
    }))
}

/// Answers with the page, where there is something to show.
fn show(plugin: Plugin<'_>, vr: VRequest<'_>) {
    if plugin.module().table().is_none_or(Table::is_off) {
        return;
    }
    let mut random = [0; 16];
    if let Err(error) = getrandom::fill(&mut random) {
        vr.log(Level::Error, &format!("progress.status: there are no random numbers ({error})"));
        return;
    }
    let nonce = format!("{:032x}", u128::from_ne_bytes(random));
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; connect-src 'self'; \
         frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; \
         trusted-types 'none'"
    );
    list::set_headers(vr, "text/html; charset=utf-8");
    vr.set_response_header("Content-Security-Policy", policy.as_bytes());
    vr.set_response_header("Referrer-Policy", b"no-referrer");
    vr.respond(200, PAGE.replace(NONCE, &nonce).as_bytes());
}
