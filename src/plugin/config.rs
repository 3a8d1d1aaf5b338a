//! Values of the configuration: `progress.ttl`, `progress.methods` and `progress.debug`.

use lighttpd2::{Method, VRequest, Value};
use progress::{Format, TimeToLive};

use super::Plugin;

/// The options' places in the plugin's list of them.
pub const DEBUG: usize = 0;
pub const METHODS: usize = 1;

/// The value of `progress.ttl`.
pub fn time_to_live(value: Value<'_>) -> Result<TimeToLive, String> {
    let value = value.single();
    let seconds = value.number().ok_or_else(|| format!("expected number, got {}", value.type_name()))?;
    TimeToLive::new(seconds).map_err(|error| format!("progress.ttl: {error}"))
}

/// The value of `progress.methods`, or its default where there is none, as a set of [`Method::bit`]s.
pub fn methods(value: Value<'_>) -> Result<i64, String> {
    const EXPECTED: &str = "progress.methods option expects a list of strings";
    if value.is_missing() {
        return Ok(Method::POST.bit());
    }
    // lighttpd2 2.0.0 makes a list of a single value before it asks.
    let one = value.string().map(|_| value);
    let many = value.items();
    if one.is_none() && many.is_none() {
        return Err(format!("{EXPECTED}, parameter is of type {}", value.type_name()));
    }
    let mut set = 0;
    for (number, name) in one.into_iter().chain(many.into_iter().flatten()).enumerate() {
        let name =
            name.string().ok_or_else(|| format!("{EXPECTED}, entry #{number} is of type {}", name.type_name()))?;
        let method = Method::from_name(name)
            .ok_or_else(|| format!("progress.methods: unknown method: {}", name.escape_ascii()))?;
        set |= method.bit();
    }
    Ok(set)
}

/// The value of `progress.track`, which takes none.
pub fn nothing(value: Value<'_>) -> Result<(), String> {
    if value.is_nothing() { Ok(()) } else { Err(String::from("progress.track doesn't expect any parameters")) }
}

/// The value of `progress.show`.
pub fn format(value: Value<'_>) -> Result<Format, String> {
    let value = value.single();
    if value.is_missing() {
        return Ok(Format::default());
    }
    let name = value.string().ok_or_else(|| String::from("progress.show expects an optional string as parameter"))?;
    Format::from_name(name).ok_or_else(|| format!("progress.show: unknown format \"{}\"", name.escape_ascii()))
}

/// Whether `progress.debug` is set for a request.
pub fn is_debug(vr: VRequest<'_>, plugin: Plugin<'_>) -> bool {
    vr.boolean_option(plugin, DEBUG)
}

/// Whether the method of a request is among its `progress.methods`.
pub fn is_method_tracked(vr: VRequest<'_>, plugin: Plugin<'_>) -> bool {
    vr.method().is_some_and(|method| vr.number_option(plugin, METHODS) & method.bit() != 0)
}
