//! Compiles the C part, and makes programs of this package export what the module calls.

const LOG: &str = "src/log.c";
const INCLUDE: &str = "../include";

fn main() {
    for read in [LOG, INCLUDE] {
        println!("cargo::rerun-if-changed={read}");
    }
    println!("cargo::rustc-link-arg=-rdynamic");
    cc::Build::new().file(LOG).include(INCLUDE).warnings_into_errors(true).compile("standin_log");
}
