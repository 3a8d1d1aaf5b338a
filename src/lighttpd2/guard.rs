//! Panics end here: none leaves Rust.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What `operation` returns. Where it panics: what `on_panic` makes of the panic's message.
///
/// Whatever `operation` has changed so far stays changed; it has to leave nothing behind that is unsafe to use.
pub fn guard<R>(operation: impl FnOnce() -> R, on_panic: impl FnOnce(&str) -> R) -> R {
    catch_unwind(AssertUnwindSafe(operation)).unwrap_or_else(|panic| {
        let result = on_panic(message(&*panic));
        // What was thrown could panic in its turn when it is dropped.
        std::mem::forget(panic);
        result
    })
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        let value = 7;
        assert_eq!(guard(|| "fine".to_string(), str::to_string), "fine");
        assert_eq!(guard(|| panic!("fixed"), str::to_string), "fixed");
        assert_eq!(guard(|| panic!("made of {value}"), str::to_string), "made of 7");
        assert_eq!(guard(|| std::panic::panic_any(value), str::to_string), "without a message");
    }
}
