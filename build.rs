//! The build script of the crate `lighttpd2` (src/lighttpd2): writes its declarations and compiles its C part.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::{env, fs};

/// From the folder of the crate to the top level.
const TOP: &str = "../..";

fn declarations(include: &Path, glue: &Path, out: &Path) -> Result<String, String> {
    let builder = bindgen::Builder::default()
        .header(glue.join("glue.h").to_string_lossy())
        .clang_arg(format!("-I{}", include.display()))
        .allowlist_type("li[A-Z].*|GArray|GPtrArray|GString")
        .allowlist_function("li_.*|glue_.*")
        .allowlist_var("LI_.*|LIGHTTPD_.*|MODULE_VERSION")
        .clang_macro_fallback()
        .clang_macro_fallback_build_dir(out)
        .prepend_enum_name(false)
        .merge_extern_blocks(true);
    // bindgen panics where it finds no libclang.
    let generated = catch_unwind(AssertUnwindSafe(|| builder.generate())).map_err(
        |_| "bindgen cannot load libclang (Debian: apt-get install libclang-dev; elsewhere set LIBCLANG_PATH)",
    )?;
    generated.map(|bindings| bindings.to_string()).map_err(|error| format!("bindgen: {error}"))
}

fn build() -> Result<(), String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let [include, glue] = ["include", "lighttpd2-glue"].map(|folder| Path::new(TOP).join(folder));
    for folder in [&include, &glue] {
        println!("cargo::rerun-if-changed={}", folder.display());
    }
    let file = out.join("lighttpd2.rs");
    fs::write(&file, declarations(&include, &glue, &out)?)
        .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    let mut compiler = cc::Build::new();
    compiler.file(glue.join("glue.c")).include(&include).warnings_into_errors(true);
    compiler.try_compile("lighttpd2_glue").map_err(|error| format!("lighttpd2-glue/glue.c: {error}"))
}

fn main() {
    println!("cargo::rerun-if-changed={TOP}/build.rs");
    for name in ["LIBCLANG_PATH", "LLVM_CONFIG_PATH", "BINDGEN_EXTRA_CLANG_ARGS"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    if let Err(error) = build() {
        println!("cargo::error={error}");
    }
}
