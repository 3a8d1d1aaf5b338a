//! Starts a host with the module under test, talks to it, and checks what it left in its log.
