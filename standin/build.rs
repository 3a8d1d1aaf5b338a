//! Writes Rust declarations of lighttpd2's module ABI from our own header, compiles the C part, and makes programs of
//! this package export what the module calls.

#[path = "../build/bindings.rs"]
#[expect(dead_code, reason = "the stand-in is laid out by our own header only")]
mod bindings;

use bindings::{OWN_HEADER, bindings};
use std::path::{Path, PathBuf};
use std::{env, fs};

const WORKSPACE: &str = "..";
const LOG: &str = "src/log.c";

fn generate() -> Result<(), String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    // The header is named relative to the workspace.
    env::set_current_dir(WORKSPACE).map_err(|error| format!("cannot enter {WORKSPACE}: {error}"))?;
    let file = out.join("lighttpd2.rs");
    fs::write(&file, bindings(None, &out)?).map_err(|error| format!("cannot write {}: {error}", file.display()))
}

fn main() {
    let header = Path::new(WORKSPACE).join(OWN_HEADER);
    let include = header.parent().unwrap_or(&header);
    println!("cargo::rerun-if-changed={}", header.display());
    println!("cargo::rerun-if-changed={WORKSPACE}/build/bindings.rs");
    println!("cargo::rerun-if-changed={LOG}");
    println!("cargo::rustc-link-arg=-rdynamic");
    cc::Build::new().file(LOG).include(include).warnings_into_errors(true).compile("standin_log");
    if let Err(error) = generate() {
        println!("cargo::error={error}");
    }
}
