//! Writes the Rust declarations that `src/sys.rs` includes.

mod bindings;

use bindings::{OWN_HEADER, RealHeaders, bindings};
use std::path::PathBuf;
use std::{env, fs};

fn generate() -> Result<(), String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let [source, build] = ["LIGHTTPD2_SOURCE", "LIGHTTPD2_BUILD"].map(env::var_os);
    let real = RealHeaders::new(source.as_deref(), build.as_deref())?;
    let file = out.join("lighttpd2.rs");
    fs::write(&file, bindings(real.as_ref(), &out)?)
        .map_err(|error| format!("cannot write {}: {error}", file.display()))
}

fn main() {
    println!("cargo::rerun-if-changed={OWN_HEADER}");
    println!("cargo::rerun-if-changed=build");
    for name in [
        "LIGHTTPD2_SOURCE",
        "LIGHTTPD2_BUILD",
        "LIBCLANG_PATH",
        "LLVM_CONFIG_PATH",
        "BINDGEN_EXTRA_CLANG_ARGS",
        "PKG_CONFIG_PATH",
    ] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    for folder in ["LIGHTTPD2_SOURCE", "LIGHTTPD2_BUILD"].into_iter().filter_map(env::var_os) {
        println!("cargo::rerun-if-changed={}", PathBuf::from(folder).join("include").display());
    }
    if let Err(error) = generate() {
        println!("cargo::error={error}");
    }
}
