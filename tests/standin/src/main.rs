//! Plays lighttpd2 towards the module, for tests and demonstration only.

fn main() {}
