//! Values of the configuration.

use crate::refusals::{ActionError, MethodsError, NumberError, OptionError};
use crate::shared::{Plugin, Progress};
use crate::show::Form;
use elsewhere::{Address, Directory, Secret};
use lighttpd2::{
    BooleanOption, Boxed, BoxedOption, Method, NumberOption, OptionKind, OptionRow, Pattern, Refusal, Server, Type,
    VRequest, Value,
};
use progress::{
    Entries, Format, Interval, NoOrigin, Origins, OutOfRange, Range, Statuses, Template, TimeToLive, Watchers,
};

/// All options.
pub const OPTIONS: &[OptionRow] = &[
    OptionRow { name: c"progress.debug", kind: OptionKind::Boolean },
    OptionRow { name: c"progress.methods", kind: OptionKind::Number(Type::List, parse_methods) },
    OptionRow { name: c"progress.id", kind: OptionKind::Boxed(Type::List, parse_id) },
    OptionRow { name: c"progress.scope", kind: OptionKind::Boxed(Type::Any, parse_scope) },
    OptionRow { name: c"progress.success", kind: OptionKind::Boxed(Type::List, parse_success) },
    OptionRow { name: c"progress.callback", kind: OptionKind::Boxed(Type::Any, parse_callback) },
    OptionRow { name: c"progress.cors", kind: OptionKind::Boxed(Type::List, parse_cors) },
    OptionRow { name: c"progress.environment", kind: OptionKind::Boolean },
];

const DEBUG: BooleanOption = BooleanOption::named(OPTIONS, c"progress.debug");
const ENVIRONMENT: BooleanOption = BooleanOption::named(OPTIONS, c"progress.environment");
const METHODS: NumberOption = NumberOption::named(OPTIONS, c"progress.methods");
const ID: BoxedOption<Vec<Pattern>> = BoxedOption::named(OPTIONS, c"progress.id");
const SCOPE: BoxedOption<Pattern> = BoxedOption::named(OPTIONS, c"progress.scope");
const SUCCESS: BoxedOption<Statuses> = BoxedOption::named(OPTIONS, c"progress.success");
const CALLBACK: BoxedOption<Vec<u8>> = BoxedOption::named(OPTIONS, c"progress.callback");
const CORS: BoxedOption<Origins> = BoxedOption::named(OPTIONS, c"progress.cors");

/// Whether `progress.debug` is set for a request.
pub fn is_debug(vr: VRequest<'_>, plugin: Plugin<'_>) -> bool {
    vr.boolean(plugin, DEBUG)
}

/// Whether a request's environment is to be told of its progress.
pub fn has_environment(vr: VRequest<'_>, plugin: Plugin<'_>) -> bool {
    vr.boolean(plugin, ENVIRONMENT)
}

/// Whether the method of a request is among its `progress.methods`.
pub fn is_method_tracked(vr: VRequest<'_>, plugin: Plugin<'_>) -> bool {
    vr.method().is_some_and(|method| vr.number(plugin, METHODS) & method.bit() != 0)
}

/// A request's `progress.id`, if it is set.
pub fn id<'a>(vr: VRequest<'a>, plugin: Plugin<'a>) -> Option<&'a [Pattern]> {
    vr.boxed(plugin, ID).map(Vec::as_slice)
}

/// A request's `progress.scope`, if it is set.
pub fn scope<'a>(vr: VRequest<'a>, plugin: Plugin<'a>) -> Option<&'a Pattern> {
    vr.boxed(plugin, SCOPE)
}

/// A request's `progress.success`, if it is set.
pub fn success<'a>(vr: VRequest<'a>, plugin: Plugin<'a>) -> Option<&'a Statuses> {
    vr.boxed(plugin, SUCCESS)
}

/// A request's `progress.callback`, if it is set.
pub fn callback_key<'a>(vr: VRequest<'a>, plugin: Plugin<'a>) -> Option<&'a [u8]> {
    vr.boxed(plugin, CALLBACK).map(Vec::as_slice)
}

/// A request's `progress.cors`, if it is set.
pub fn origins<'a>(vr: VRequest<'a>, plugin: Plugin<'a>) -> Option<&'a Origins> {
    vr.boxed(plugin, CORS)
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

/// `progress.watchers`
pub fn set_watchers(progress: &Progress, value: Value<'_>) -> Result<(), Refusal> {
    let watchers = number("progress.watchers", value, Watchers::RANGE, Watchers::new)?;
    progress.set(|settings| settings.watchers = watchers);
    Ok(())
}

/// `progress.store`
pub fn set_store(progress: &Progress, value: Value<'_>) -> Result<(), Refusal> {
    let option = "progress.store";
    let path = string(option, "the path of a directory", value.single())?;
    let directory = Directory::open(path).map_err(|error| unusable(option, error, path))?;
    progress.set(|settings| settings.store = Some(directory));
    Ok(())
}

/// `progress.secret`
pub fn set_secret(progress: &Progress, value: Value<'_>) -> Result<(), Refusal> {
    let option = "progress.secret";
    let path = string(option, "the path of a file", value.single())?;
    let secret = Secret::read(path).map_err(|error| unusable(option, error, path))?;
    progress.set(|settings| settings.secret = Some(secret));
    Ok(())
}

/// `progress.share`
pub fn set_share(progress: &Progress, value: Value<'_>) -> Result<(), Refusal> {
    let option = "progress.share";
    let text = string(option, Address::ACCEPTED, value.single())?;
    let address = Address::new(text).map_err(|error| unusable(option, error, text))?;
    let mut has_secret = false;
    progress.set(|settings| {
        has_secret = settings.secret.is_some();
        settings.share = Some(address);
    });
    if has_secret { Ok(()) } else { Err(unusable(option, "expected progress.secret before it", text)) }
}

/// `progress.share_interval`
pub fn set_share_interval(progress: &Progress, value: Value<'_>) -> Result<(), Refusal> {
    let interval = number("progress.share_interval", value, Interval::RANGE, Interval::new)?;
    progress.set(|settings| settings.share_interval = interval);
    Ok(())
}

/// `progress.share_timeout`
pub fn set_share_timeout(progress: &Progress, value: Value<'_>) -> Result<(), Refusal> {
    let timeout = number("progress.share_timeout", value, Interval::RANGE, Interval::new)?;
    progress.set(|settings| settings.share_timeout = timeout);
    Ok(())
}

/// The value of `progress.stream`.
pub fn interval(value: Value<'_>) -> Result<Interval, Refusal> {
    if value.single().is_missing() || value.is_nothing() {
        return Ok(Interval::default());
    }
    Ok(number("progress.stream", value, Interval::RANGE, Interval::new)?)
}

/// The value of an action that takes none.
pub fn nothing(action: &'static str, value: Value<'_>) -> Result<(), Refusal> {
    if value.is_nothing() {
        return Ok(());
    }
    Err(ActionError::TakesNothing { action, got: value.single().type_name() }.into())
}

/// The value of an action that lists requests: whether it tells whole ids.
pub fn has_ids(action: &'static str, value: Value<'_>) -> Result<bool, Refusal> {
    const IDS: &[u8] = b"ids";
    let value = value.single();
    if value.is_missing() || value.is_nothing() {
        return Ok(false);
    }
    match value.string() {
        Some(IDS) => Ok(true),
        Some(other) => Err(ActionError::NotIds { action, got: format!("\"{}\"", other.escape_ascii()) }.into()),
        None => Err(ActionError::NotIds { action, got: value.type_name().to_string() }.into()),
    }
}

/// The value of `progress.show`.
pub fn form(value: Value<'_>) -> Result<Form, Refusal> {
    let value = value.single();
    if value.is_missing() {
        return Ok(Form::Format(Default::default()));
    }
    if let Some(name) = value.string() {
        return Ok(Form::Format(Format::from_name(name).map_err(ActionError::UnknownFormat)?));
    }
    let no_form = || ActionError::NoForm(value.type_name());
    let members = value.items().filter(|members| members.len() > 0).ok_or_else(no_form)?.map(|member| {
        let mut pair = member.items()?.map(|part| part.string());
        let (name, text) = (pair.next()??, pair.next()??);
        pair.next().is_none().then_some((name, text))
    });
    let members = members.collect::<Option<Vec<_>>>().ok_or_else(no_form)?;
    Ok(Form::Template(Template::new(members).map_err(ActionError::NoTemplate)?))
}

/// The value of `progress.methods`, or its default where there is none, as a set of [`Method::bit`]s.
fn parse_methods(value: Value<'_>) -> Result<i64, Refusal> {
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

fn parse_id(server: Server, value: Value<'_>) -> Result<Option<Boxed>, Refusal> {
    let patterns = entries("progress.id", "a list of patterns", value, |entry| Ok(Pattern::new(server, entry)?))?;
    Ok(patterns.map(|patterns| Box::new(patterns) as Boxed))
}

fn parse_scope(server: Server, value: Value<'_>) -> Result<Option<Boxed>, Refusal> {
    let option = "progress.scope";
    let value = value.single();
    if value.is_missing() {
        return Ok(None);
    }
    let pattern = Pattern::new(server, value).map_err(|error| OptionError::Wrong { option, reason: error.into() })?;
    Ok(Some(Box::new(pattern)))
}

fn parse_success(_: Server, value: Value<'_>) -> Result<Option<Boxed>, Refusal> {
    let mut statuses = Statuses::UPGRADED;
    let accepted = Statuses::ACCEPTED;
    let named = entries("progress.success", accepted, value, |entry| {
        let digits = entry.number().map(|number| number.to_string());
        let name = digits.as_ref().map(|digits| digits.as_bytes()).or(entry.string());
        let name = name.ok_or_else(|| OptionError::NoEntry { accepted, got: entry.type_name() })?;
        statuses = statuses.clone().with_named(name)?;
        Ok(())
    })?;
    Ok(named.map(|_| Box::new(statuses) as Boxed))
}

fn parse_callback(_: Server, value: Value<'_>) -> Result<Option<Boxed>, Refusal> {
    const LONGEST: usize = 64;
    let option = "progress.callback";
    let accepted = "1 to 64 letters, digits, '.', '_' and '-'";
    let value = value.single();
    if value.is_missing() {
        return Ok(None);
    }
    let key = value.string().ok_or(OptionError::NotOne { option, accepted, got: value.type_name() })?;
    let is_key = key.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte));
    if !is_key || key.is_empty() || key.len() > LONGEST {
        return Err(OptionError::Unusable { option, accepted, got: key.to_vec() }.into());
    }
    Ok(Some(Box::new(key.to_vec())))
}

fn parse_cors(_: Server, value: Value<'_>) -> Result<Option<Boxed>, Refusal> {
    let option = "progress.cors";
    let accepted = "\"*\", or a list of origins as browsers send them, like \"https://app.example\"";
    let origins = entries(option, accepted, value, |entry| {
        let origin = entry.string().ok_or_else(|| OptionError::NoEntry { accepted, got: entry.type_name() })?;
        Ok(origin.to_vec())
    })?;
    let Some(origins) = origins else { return Ok(None) };
    let origins = Origins::new(origins).map_err(|NoOrigin(got)| OptionError::Unusable { option, accepted, got })?;
    Ok(Some(Box::new(origins)))
}

/// What is made of the entries of a list; `None` where nothing is given.
fn entries<T>(
    option: &'static str,
    accepted: &'static str,
    value: Value<'_>,
    mut make: impl FnMut(Value<'_>) -> Result<T, Refusal>,
) -> Result<Option<Vec<T>>, Refusal> {
    if value.is_nothing() {
        return Ok(None);
    }
    let entries = value.items().ok_or(OptionError::NotOne { option, accepted, got: value.type_name() })?;
    let made = entries.map(|entry| make(entry).map_err(|reason| OptionError::Wrong { option, reason }));
    Ok(Some(made.collect::<Result<Vec<_>, _>>()?))
}

/// A value that has to be a string.
fn string<'a>(option: &'static str, accepted: &'static str, value: Value<'a>) -> Result<&'a [u8], OptionError> {
    value.string().ok_or(OptionError::NotOne { option, accepted, got: value.type_name() })
}

/// A string that names something which cannot be used, for that reason.
fn unusable(option: &'static str, reason: impl Into<Refusal>, got: &[u8]) -> Refusal {
    OptionError::Useless { option, reason: reason.into(), got: got.to_vec() }.into()
}

fn number<T>(
    name: &'static str,
    value: Value<'_>,
    accepted: Range,
    make: fn(i64) -> Result<T, OutOfRange>,
) -> Result<T, NumberError> {
    let value = value.single();
    let number = value.number().ok_or(NumberError::WrongType { name, got: value.type_name(), accepted })?;
    make(number).map_err(|error| NumberError::OutOfRange { name, error })
}
