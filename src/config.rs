//! Values of the configuration, and why one is refused.

use crate::shared::{Plugin, Progress};
use lighttpd2::{BooleanOption, Method, NumberOption, OptionKind, OptionRow, Refusal, Type, VRequest, Value};
use progress::{Entries, Format, OutOfRange, Range, TimeToLive, UnknownFormat};
use std::error::Error;
use std::fmt;

/// All options.
pub const OPTIONS: &[OptionRow] = &[
    OptionRow { name: c"progress.debug", kind: OptionKind::Boolean },
    OptionRow { name: c"progress.methods", kind: OptionKind::Number(Type::List, methods) },
];

const DEBUG: BooleanOption = BooleanOption::named(OPTIONS, c"progress.debug");
const METHODS: NumberOption = NumberOption::named(OPTIONS, c"progress.methods");

/// Why the value of a setup that takes a number is refused.
#[derive(Debug)]
enum NumberError {
    WrongType { setup: &'static str, got: &'static str, accepted: Range },
    OutOfRange { setup: &'static str, error: OutOfRange },
}

/// Why the value of `progress.methods` is refused.
#[derive(Debug)]
enum MethodsError {
    NoList(&'static str),
    NoName { entry: usize, got: &'static str },
    Unknown(Vec<u8>),
}

/// Why the value of an action is refused.
#[derive(Debug)]
enum ActionError {
    TrackTakesNothing(&'static str),
    NoFormat(&'static str),
    UnknownFormat(UnknownFormat),
}

/// `progress.ttl`
pub fn set_time_to_live(progress: &Progress, value: Value<'_>) -> Result<(), Refusal> {
    let time_to_live = number("progress.ttl", value, TimeToLive::RANGE, TimeToLive::new)?;
    progress.set(|settings| settings.time_to_live = time_to_live);
    Ok(())
}

/// `progress.entries`
pub fn set_entries(progress: &Progress, value: Value<'_>) -> Result<(), Refusal> {
    let entries = number("progress.entries", value, Entries::RANGE, Entries::new)?;
    progress.set(|settings| settings.entries = entries);
    Ok(())
}

fn number<T>(
    setup: &'static str,
    value: Value<'_>,
    accepted: Range,
    make: fn(i64) -> Result<T, OutOfRange>,
) -> Result<T, NumberError> {
    let value = value.single();
    let number = value.number().ok_or(NumberError::WrongType { setup, got: value.type_name(), accepted })?;
    make(number).map_err(|error| NumberError::OutOfRange { setup, error })
}

/// The value of `progress.methods`, or its default where there is none, as a set of [`Method::bit`]s.
fn methods(value: Value<'_>) -> Result<i64, Refusal> {
    if value.is_missing() {
        return Ok(Method::POST.bit());
    }
    // lighttpd2 2.0.0 makes a list of a single value before it asks.
    let one = value.string().map(|_| value);
    let many = value.items();
    if one.is_none() && many.is_none() {
        return Err(MethodsError::NoList(value.type_name()).into());
    }
    let mut set = 0;
    for (entry, name) in one.into_iter().chain(many.into_iter().flatten()).enumerate() {
        let name = name.string().ok_or(MethodsError::NoName { entry, got: name.type_name() })?;
        let method = Method::from_name(name).ok_or_else(|| MethodsError::Unknown(name.to_vec()))?;
        set |= method.bit();
    }
    Ok(set)
}

/// The value of `progress.track`, which takes none.
pub fn nothing(value: Value<'_>) -> Result<(), Refusal> {
    if value.is_nothing() { Ok(()) } else { Err(ActionError::TrackTakesNothing(value.single().type_name()).into()) }
}

/// The value of `progress.show`.
pub fn format(value: Value<'_>) -> Result<&'static Format, Refusal> {
    let value = value.single();
    if value.is_missing() {
        return Ok(Default::default());
    }
    let name = value.string().ok_or(ActionError::NoFormat(value.type_name()))?;
    Ok(Format::from_name(name).map_err(ActionError::UnknownFormat)?)
}

/// Whether `progress.debug` is set for a request.
pub fn is_debug(vr: VRequest<'_>, plugin: Plugin<'_>) -> bool {
    vr.boolean(plugin, DEBUG)
}

/// Whether the method of a request is among its `progress.methods`.
pub fn is_method_tracked(vr: VRequest<'_>, plugin: Plugin<'_>) -> bool {
    vr.method().is_some_and(|method| vr.number(plugin, METHODS) & method.bit() != 0)
}

// The beginnings of these lines are those of lighttpd2's own module, where it has such a line.

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongType { setup, got, accepted } => {
                write!(f, "expected number, got {got}: {setup} takes {accepted}")
            }
            Self::OutOfRange { setup, error } => write!(f, "{setup}: {error}"),
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

impl fmt::Display for ActionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrackTakesNothing(got) => {
                write!(f, "progress.track doesn't expect any parameters, got one of type {got}")
            }
            Self::NoFormat(got) => {
                let names = Format::names();
                write!(f, "progress.show expects an optional string as parameter, got {got}, expected one of {names}")
            }
            Self::UnknownFormat(error) => write!(f, "progress.show: {error}"),
        }
    }
}

impl Error for NumberError {}
impl Error for MethodsError {}
impl Error for ActionError {}
