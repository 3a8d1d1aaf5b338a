//! Our own declarations of lighttpd2's module ABI against its real headers, where those are at hand.

#[path = "../build/bindings.rs"]
mod bindings;

use bindings::{RealHeaders, bindings};
use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// What bindgen says of sizes, offsets, constants, types and functions: each by its name.
type Facts = BTreeMap<String, String>;

fn facts(declarations: &str) -> Facts {
    let text = declarations.split_whitespace().collect::<Vec<_>>().join(" ");
    let facts = text.split(';').filter_map(|statement| {
        let after = |marker: &str| statement.rfind(marker).map(|start| &statement[start..]);
        let (fact, separator) = if let Some(layout) = after("[\"") {
            (layout, " - ")
        } else if let Some(function) = after("pub fn ") {
            (function, "(")
        } else if let Some(constant) = after("pub const ") {
            (constant, ": ")
        } else {
            (after("pub type li")?, " = ")
        };
        let (name, value) = fact.split_once(separator)?;
        let name = name.split("\"][").next()?.trim_start_matches(['[', '"']);
        Some((name.to_string(), value.replace([' ', ','], "")))
    });
    facts.collect()
}

/// Members that the module reads or writes, so that none of them can go unnoticed into an opaque one.
fn covers_what_is_used(own: &Facts) -> Result<(), Failed> {
    for name in [
        "Offset of field: liChunkQueue::bytes_in",
        "Offset of field: liConInfo::aborted",
        "Offset of field: liVRequest::plugin_ctx",
        "Size of liPlugin",
        "pub const LIGHTTPD_SERVER_MAGIC",
        "pub const LI_HTTP_METHOD_POST",
        "pub fn li_log_write",
        "pub type liPluginSetupCB",
    ] {
        if !own.contains_key(name) {
            return Err(format!("{name} is not among what is compared").into());
        }
    }
    Ok(())
}

/// Opaque members have names of our own; all else has to be the same.
fn equal(own: &Facts, real: &Facts) -> Result<(), Failed> {
    let compared: Vec<_> = own.iter().filter(|(name, _)| !name.contains("opaque")).collect();
    println!(
        "abi: {} sizes, offsets, constants, types and functions compared with lighttpd2's headers",
        compared.len()
    );
    let different = compared.into_iter().filter(|(name, value)| real.get(*name) != Some(value));
    let different: Vec<_> =
        different.map(|(name, value)| format!("{name}: ours {value}, real {:?}", real.get(name))).collect();
    if different.is_empty() { Ok(()) } else { Err(different.join("\n").into()) }
}

fn main() -> ExitCode {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let [source, build] = ["LIGHTTPD2_SOURCE", "LIGHTTPD2_BUILD"].map(std::env::var_os);
    let own = Arc::new(facts(&bindings(None, scratch).expect("our own header is fine")));
    let real = RealHeaders::new(source.as_deref(), build.as_deref())
        .and_then(|real| real.map(|real| bindings(Some(&real), scratch)).transpose());
    if matches!(real, Ok(None)) {
        println!("abi: LIGHTTPD2_SOURCE and LIGHTTPD2_BUILD are not set: no real headers to compare with");
    }
    let is_skipped = matches!(real, Ok(None));
    let also_own = Arc::clone(&own);
    let trials = vec![
        Trial::test("the_comparison_covers_what_is_used", move || covers_what_is_used(&also_own)),
        Trial::test("own_declarations_equal_the_real_ones", move || {
            equal(&own, &facts(&real?.ok_or("there are no real headers")?))
        })
        .with_ignored_flag(is_skipped),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
