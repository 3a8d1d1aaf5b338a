//! How bindgen makes Rust declarations of lighttpd2's module ABI: from our own header, or from lighttpd2's.

use std::ffi::OsStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Our own header.
pub const OWN_HEADER: &str = "include/lighttpd2_module.h";

/// Where lighttpd2's own headers are.
pub struct RealHeaders {
    source: PathBuf,
    build: PathBuf,
}

impl RealHeaders {
    /// `source`: a source tree of lighttpd2, as `LIGHTTPD2_SOURCE` names it. `build`: a build directory of it, as
    /// `LIGHTTPD2_BUILD` does. `None` where neither is set, an error of one line where they are not what they should be.
    pub fn new(source: Option<&OsStr>, build: Option<&OsStr>) -> Result<Option<Self>, String> {
        let directory = |name: &str, value: Option<&OsStr>, marker: &str| match value.filter(|value| !value.is_empty())
        {
            Some(path) if Path::new(path).join(marker).is_file() => Ok(Some(PathBuf::from(path))),
            Some(path) => Err(format!("{name} is {}, but there is no {marker} in it", Path::new(path).display())),
            None => Ok(None),
        };
        let source = directory("LIGHTTPD2_SOURCE", source, "include/lighttpd/base.h")?;
        let build = directory("LIGHTTPD2_BUILD", build, "include/lighttpd/config.h")?;
        match (source, build) {
            (Some(source), Some(build)) => Ok(Some(Self { source, build })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(String::from("LIGHTTPD2_SOURCE is set, but LIGHTTPD2_BUILD is not")),
            (None, Some(_)) => Err(String::from("LIGHTTPD2_BUILD is set, but LIGHTTPD2_SOURCE is not")),
        }
    }
}

/// Declarations of what the module uses, from `real` headers or else from our own one. bindgen keeps temporary files in
/// `scratch`.
pub fn bindings(real: Option<&RealHeaders>, scratch: &Path) -> Result<String, String> {
    let builder = bindgen::Builder::default()
        .allowlist_type("liModules?|liConnection|liPlugin|liPluginOption|liPluginAction|liPluginSetup")
        .allowlist_function("li_plugin_register|li_plugin_free|li_action_new_function")
        .allowlist_function("li_http_method_from_string|li_valuetype_string|li_log_write")
        .allowlist_function("li_http_header_overwrite|li_chunkqueue_append_mem")
        .allowlist_function("li_vrequest_is_handled|li_vrequest_handle_direct")
        .allowlist_var("LIGHTTPD_SERVER_MAGIC|MODULE_VERSION|LI_LOG_FLAG_TIMESTAMP")
        .clang_macro_fallback()
        .clang_macro_fallback_build_dir(scratch)
        .prepend_enum_name(false)
        .merge_extern_blocks(true);
    let builder = match real {
        Some(RealHeaders { source, build }) => builder
            .header(source.join("include/lighttpd/base.h").to_string_lossy())
            .header(source.join("include/lighttpd/lighttpd-glue.h").to_string_lossy())
            .clang_args([source, build].map(|path| format!("-I{}", path.join("include").display())))
            .clang_arg("-DHAVE_CONFIG_H")
            .clang_args(library_flags()?),
        None => builder.header(OWN_HEADER),
    };
    // bindgen panics where it finds no libclang.
    let generated = catch_unwind(AssertUnwindSafe(|| builder.generate())).map_err(|_| {
        String::from("bindgen cannot load libclang (Debian: apt-get install libclang-dev; elsewhere set LIBCLANG_PATH)")
    })?;
    generated.map(|bindings| bindings.to_string()).map_err(|error| format!("bindgen: {error}"))
}

/// The compiler flags of the libraries whose headers lighttpd2's include.
fn library_flags() -> Result<Vec<String>, String> {
    let flags = |packages: &[&str]| {
        let output = Command::new("pkg-config").arg("--cflags").args(packages).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let lua = ["lua5.4", "lua5.3", "lua5.1", "lua"].into_iter().find_map(|name| flags(&[name]));
    let glib = flags(&["glib-2.0", "gmodule-2.0", "gthread-2.0"]).ok_or(
        "lighttpd2's headers need pkg-config, glib and libev (Debian: apt-get install pkg-config libglib2.0-dev libev-dev)",
    )?;
    Ok(glib.split_whitespace().chain(lua.as_deref().unwrap_or_default().split_whitespace()).map(String::from).collect())
}
