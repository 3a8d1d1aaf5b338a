//! The page of `examples/upload` on a host, for demonstration and for tests.

pub mod example;
mod line;

pub use line::{Line, Rates};
