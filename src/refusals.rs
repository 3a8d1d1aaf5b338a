//! Why a value of the configuration is refused: what becomes of each is one line of the error log.

use lighttpd2::{Method, Refusal};
use progress::{Format, OutOfRange, Range, TemplateError, UnknownFormat};
use std::error::Error;
use std::fmt;

/// Why a number is refused.
#[derive(Debug)]
pub enum NumberError {
    WrongType { name: &'static str, got: &'static str, accepted: Range },
    OutOfRange { name: &'static str, error: OutOfRange },
}

/// Why the value of `progress.methods` is refused.
#[derive(Debug)]
pub enum MethodsError {
    NoList(&'static str),
    NoName { entry: usize, got: &'static str },
    Unknown(Vec<u8>),
}

/// Why the value of another option is refused.
#[derive(Debug)]
pub enum OptionError {
    /// It is of another type.
    NotOne { option: &'static str, accepted: &'static str, got: &'static str },
    /// It is no such string.
    Unusable { option: &'static str, accepted: &'static str, got: Vec<u8> },
    /// It, or an entry of it, is refused for that reason.
    Wrong { option: &'static str, reason: Refusal },
    /// What it names cannot be used, for that reason.
    Useless { option: &'static str, reason: Refusal, got: Vec<u8> },
    /// An entry is of another type.
    NoEntry { accepted: &'static str, got: &'static str },
}

/// Why the value of an action is refused.
#[derive(Debug)]
pub enum ActionError {
    TakesNothing {
        action: &'static str,
        got: &'static str,
    },
    /// It is not `"ids"`.
    NotIds {
        action: &'static str,
        got: String,
    },
    /// The server runs already, and has not kept what it tells of.
    Late(&'static str),
    NoForm(&'static str),
    UnknownFormat(UnknownFormat),
    NoTemplate(TemplateError),
}

// The beginnings of these lines are those of lighttpd2's own module, where it has such a line.

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongType { name, got, accepted } => {
                write!(f, "expected number, got {got}: {name} takes {accepted}")
            }
            Self::OutOfRange { name, error } => write!(f, "{name}: {error}"),
        }
    }
}

impl fmt::Display for MethodsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoList(got) => {
                write!(f, "progress.methods option expects a list of strings, parameter is of type {got}")?;
            }
            Self::NoName { entry, got } => {
                write!(f, "progress.methods option expects a list of strings, entry #{entry} is of type {got}")?;
            }
            Self::Unknown(name) => write!(f, "progress.methods: unknown method: {}", name.escape_ascii())?,
        }
        write!(f, ", expected one of {}", Method::names())
    }
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOne { option, accepted, got } => write!(f, "{option}: expected {accepted}, got {got}"),
            Self::Unusable { option, accepted, got } => {
                write!(f, "{option}: expected {accepted}, got \"{}\"", got.escape_ascii())
            }
            Self::Wrong { option, reason } => write!(f, "{option}: {reason}"),
            Self::Useless { option, reason, got } => write!(f, "{option}: {reason}, got \"{}\"", got.escape_ascii()),
            Self::NoEntry { accepted, got } => write!(f, "expected {accepted}, got {got}"),
        }
    }
}

impl fmt::Display for ActionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TakesNothing { action, got } => {
                write!(f, "{action} doesn't expect any parameters, got one of type {got}")
            }
            Self::NotIds { action, got } => {
                write!(f, "{action}: expected nothing or \"ids\", got {got}")
            }
            Self::Late(action) => {
                write!(
                    f,
                    "{action} made by a server that runs, expected it in the configuration that it was started with, too"
                )
            }
            Self::NoForm(got) => {
                let names = Format::names();
                write!(
                    f,
                    "progress.show expects an optional string as parameter, got {got}, expected one of {names}, or a template"
                )
            }
            Self::UnknownFormat(error) => write!(f, "progress.show: {error}"),
            Self::NoTemplate(error) => write!(f, "progress.show: {error}"),
        }
    }
}

impl Error for NumberError {}
impl Error for MethodsError {}
impl Error for OptionError {}
impl Error for ActionError {}
