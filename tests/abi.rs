//! Our own declarations of lighttpd2's module ABI against its real headers, where those are at hand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use testkit::suite::{self, Completion, Failed, trial};

/// Our own header.
const OWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/include/lighttpd2_module.h");

/// lighttpd2's headers, below `include/lighttpd/`.
const REAL: [&str; 6] = ["base.h", "lighttpd-glue.h", "events.h", "waitqueue.h", "pattern.h", "buffer.h"];

/// What bindgen says of sizes, offsets, constants, types and functions: each by its name.
type Facts = BTreeMap<String, String>;

fn facts(declarations: &str) -> Facts {
    let text = declarations.split_whitespace().collect::<Vec<_>>().join(" ");
    let facts = text.split(';').filter_map(|statement| {
        let after = |marker: &str| statement.rfind(marker).map(|start| &statement[start..]);
        let (fact, separator) = if let Some(layout) = after("[\"") {
            (layout, " - ")
        } else if let Some(function) = after("pub fn li_") {
            (function, "(")
        } else if let Some(constant) = after("pub const ") {
            (constant, ": ")
        } else {
            (after("pub type li")?, " = ")
        };
        let (name, value) = fact.split_once(separator)?;
        let name = name.split("\"]").next()?.trim_start_matches(['[', '"']);
        // Types without a name are numbered.
        let without_number = |rest: &str| rest.trim_start_matches(|digit: char| digit.is_ascii_digit()).to_string();
        let value = value.strip_prefix("_bindgen_ty_").map_or_else(|| value.to_string(), without_number);
        Some((name.to_string(), value.replace([' ', ','], "")))
    });
    facts.collect()
}

/// Members that the module reads or writes, so that none of them can go unnoticed into an opaque one.
fn covers_what_is_used(own: &Facts) -> Result<(), Failed> {
    for name in [
        "Offset of field: liChunkQueue::bytes_in",
        "Offset of field: liConInfo::aborted",
        "Offset of field: liConInfo::remote_addr_str",
        "Offset of field: liRequest::http_method_str",
        "Offset of field: liRequestUri::host",
        "Offset of field: liVRequest::plugin_ctx",
        "Size of liPlugin",
        "pub const LIGHTTPD_SERVER_MAGIC",
        "pub const LI_HTTP_METHOD_POST",
        "pub fn li_log_write",
        "pub type liPluginSetupCB",
        "Offset of field: liConnection::io_timeout_elem",
        "Offset of field: liWorker::loop_",
        "Offset of field: liPluginOptionPtr::free_option",
        "Offset of field: liStream::cb",
        "Offset of field: liVRequest::action_stack",
        "Offset of field: liActionStack::regex_stack",
        "pub fn li_pattern_eval",
        "pub const LI_EV_READ",
        "Size of liEventIO",
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

/// The declarations of these headers.
fn declarations(headers: impl IntoIterator<Item = PathBuf>, flags: &[String]) -> Result<String, String> {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let builder = bindgen::Builder::default()
        .allowlist_type("li[A-Z].*")
        .allowlist_function("li_.*")
        .allowlist_var("LI_.*|LIGHTTPD_.*|MODULE_VERSION")
        .clang_macro_fallback()
        .clang_macro_fallback_build_dir(scratch)
        .prepend_enum_name(false)
        .merge_extern_blocks(true)
        .clang_args(flags);
    let builder = headers.into_iter().fold(builder, |builder, header| builder.header(header.to_string_lossy()));
    Ok(builder.generate().map_err(|error| error.to_string())?.to_string())
}

/// A directory that the variable `name` names, with `marker` in it; `None` where it is not set.
fn directory(name: &str, marker: &str) -> Result<Option<PathBuf>, String> {
    match std::env::var_os(name).map(PathBuf::from).filter(|path| !path.as_os_str().is_empty()) {
        Some(path) if path.join(marker).is_file() => Ok(Some(path)),
        Some(path) => Err(format!("{name} is {}, but there is no {marker} in it", path.display())),
        None => Ok(None),
    }
}

/// The declarations of lighttpd2's own headers: of a source tree, and of a build directory of it.
fn real_declarations(source: &Path, build: &Path) -> Result<String, String> {
    let flags = |packages: &[&str]| {
        let output = Command::new("pkg-config").arg("--cflags").args(packages).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let lua = ["lua5.4", "lua5.3", "lua5.1", "lua"].into_iter().find_map(|name| flags(&[name]));
    let glib = flags(&["glib-2.0", "gmodule-2.0", "gthread-2.0"]).ok_or(
        "lighttpd2's headers need pkg-config, glib and libev (Debian: apt-get install pkg-config libglib2.0-dev libev-dev)",
    )?;
    let libraries = [glib, lua.unwrap_or_default()].join(" ");
    let own = [source, build].map(|path| format!("-I{}", path.join("include").display()));
    let flags: Vec<_> = own
        .into_iter()
        .chain([String::from("-DHAVE_CONFIG_H")])
        .chain(libraries.split_whitespace().map(String::from))
        .collect();
    declarations(REAL.map(|header| source.join("include/lighttpd").join(header)), &flags)
}

fn own_facts() -> Result<Facts, String> {
    Ok(facts(&declarations([PathBuf::from(OWN)], &[])?))
}

fn compare() -> Result<Completion, Failed> {
    let source = directory("LIGHTTPD2_SOURCE", "include/lighttpd/base.h")?;
    let build = directory("LIGHTTPD2_BUILD", "include/lighttpd/config.h")?;
    match (source, build) {
        (Some(source), Some(build)) => {
            equal(&own_facts()?, &facts(&real_declarations(&source, &build)?))?;
            Ok(Completion::Completed)
        }
        (None, None) => Ok(Completion::ignored_with(
            "LIGHTTPD2_SOURCE and LIGHTTPD2_BUILD are not set: no real headers to compare with",
        )),
        _ => Err("LIGHTTPD2_SOURCE and LIGHTTPD2_BUILD go together".into()),
    }
}

fn main() -> ExitCode {
    let trials = vec![
        trial("the_comparison_covers_what_is_used", &[], || {
            covers_what_is_used(&own_facts()?).map(|()| Completion::Completed)
        }),
        trial("own_declarations_equal_the_real_ones", &[], compare),
    ];
    suite::run(trials, None).exit_code()
}
