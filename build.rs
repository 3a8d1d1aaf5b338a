//! Makes the Rust declarations of lighttpd2's module ABI, by bindgen.
//!
//! From `include/` as a rule. With `LIGHTTPD2_SOURCE` (a source tree of lighttpd2) and `LIGHTTPD2_BUILD` (a build
//! directory of it) set, from lighttpd2's own headers instead.

use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::{env, panic};

const OWN_HEADER: &str = "include/lighttpd2_module.h";

/// Stops the build with one line instead of a backtrace.
fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    exit(1)
}

/// The directory that the environment variable `name` names, if it is set. `marker` is a file that must be in it.
fn directory(name: &str, marker: &str) -> Option<PathBuf> {
    println!("cargo::rerun-if-env-changed={name}");
    let path = PathBuf::from(env::var_os(name).filter(|value| !value.is_empty())?);
    if !path.join(marker).is_file() {
        fail(&format!("{name} is {}, but there is no {marker} in it", path.display()));
    }
    Some(path)
}

/// The compiler flags of the libraries that lighttpd2's own headers include.
fn library_flags() -> Vec<String> {
    let config = |packages: &[&str]| Command::new("pkg-config").arg("--cflags").args(packages).output();
    let lua = ["lua5.4", "lua5.3", "lua5.1", "lua"];
    let lua = lua.into_iter().find(|name| config(&[name]).is_ok_and(|output| output.status.success()));
    let packages: Vec<&str> = ["glib-2.0", "gmodule-2.0", "gthread-2.0"].into_iter().chain(lua).collect();
    match config(&packages) {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).split_whitespace().map(String::from).collect()
        }
        _ => fail(
            "lighttpd2's own headers need pkg-config and glib (Debian: apt-get install pkg-config libglib2.0-dev libev-dev)",
        ),
    }
}

fn bindings() -> bindgen::Builder {
    let builder = bindgen::Builder::default()
        .allowlist_type("li(Modules?|Connection)")
        .allowlist_type("li(Plugin(Option|Action|Setup)?)")
        .allowlist_function("li_plugin_(register|free)")
        .allowlist_function("li_action_new_function")
        .allowlist_function("li_http_method_from_string|li_valuetype_string|li_log_write")
        .allowlist_function("li_http_header_overwrite|li_chunkqueue_append_mem")
        .allowlist_function("li_vrequest_(is_handled|handle_direct)")
        .allowlist_var("LIGHTTPD_SERVER_MAGIC|MODULE_VERSION|LI_LOG_FLAG_TIMESTAMP")
        .clang_macro_fallback()
        .clang_macro_fallback_build_dir(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"))
        .prepend_enum_name(false)
        .size_t_is_usize(true)
        .derive_debug(false)
        .merge_extern_blocks(true);
    match (
        directory("LIGHTTPD2_SOURCE", "include/lighttpd/base.h"),
        directory("LIGHTTPD2_BUILD", "include/lighttpd/config.h"),
    ) {
        (Some(source), Some(build)) => builder
            .header(source.join("include/lighttpd/base.h").to_string_lossy())
            .header(source.join("include/lighttpd/lighttpd-glue.h").to_string_lossy())
            .clang_args([&source, &build].map(|path| format!("-I{}", path.join("include").display())))
            .clang_args(["-DHAVE_CONFIG_H", "-DLI_DECLARE_EXPORTS"])
            .clang_args(library_flags()),
        (None, None) => builder.header(OWN_HEADER),
        (Some(_), None) => fail("LIGHTTPD2_SOURCE is set, but LIGHTTPD2_BUILD is not"),
        (None, Some(_)) => fail("LIGHTTPD2_BUILD is set, but LIGHTTPD2_SOURCE is not"),
    }
}

fn main() {
    println!("cargo::rerun-if-changed={OWN_HEADER}");
    for name in ["LIBCLANG_PATH", "LLVM_CONFIG_PATH", "BINDGEN_EXTRA_CLANG_ARGS"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    // bindgen panics where it finds no libclang.
    let generated = panic::catch_unwind(|| bindings().generate());
    let Ok(generated) = generated else {
        fail("bindgen cannot load libclang (Debian: apt-get install libclang-dev; elsewhere set LIBCLANG_PATH)")
    };
    let generated = generated.unwrap_or_else(|error| fail(&format!("bindgen: {error}")));
    let out = Path::new(&env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("lighttpd2.rs");
    if let Err(error) = generated.write_to_file(&out) {
        fail(&format!("cannot write {}: {error}", out.display()));
    }
}
