//! A module's tables: setups, options and actions. A row is all that one of them takes.

use super::{Plugin, Server, Type, VRequest, Value, Wait};
use std::any::Any;
use std::error::Error;
use std::ffi::CStr;
use std::marker::PhantomData;

/// Why a value of the configuration is refused: one line, which the error log gets.
pub type Refusal = Box<dyn Error>;

/// What an action does with a request; with what it had waited for, where it is performed again.
pub type ActionFn<M> = Box<dyn Fn(Plugin<'_, M>, VRequest<'_>, Option<Wait>) -> Performed + Send + Sync>;

/// Whether an action is through with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Performed {
    /// The request goes on.
    Done,
    /// The request waits here until that is [over](super::Desk::end_wait).
    Waits(Wait),
}

/// An action that waits for nothing.
pub fn at_once<M>(act: impl Fn(Plugin<'_, M>, VRequest<'_>) + Send + Sync + 'static) -> ActionFn<M> {
    Box::new(move |plugin, vr, _| {
        act(plugin, vr);
        Performed::Done
    })
}

/// The value of an option that is neither a number nor a boolean.
pub type Boxed = Box<dyn Any + Send + Sync>;

/// A statement of the configuration's `setup` block.
pub struct Setup<M> {
    /// What the configuration calls it.
    pub name: &'static CStr,
    /// Takes its value.
    pub set: fn(&M, Value<'_>) -> Result<(), Refusal>,
}

/// An action of the configuration.
pub struct Action<M: 'static> {
    /// What the configuration calls it.
    pub name: &'static CStr,
    /// Makes what it does out of its value.
    pub create: fn(&M, Value<'_>) -> Result<ActionFn<M>, Refusal>,
}

/// A value that every request has, and that the configuration can set for some.
pub struct OptionRow {
    /// What the configuration calls it.
    pub name: &'static CStr,
    /// What its value is.
    pub kind: OptionKind,
}

/// What the value of an option is. Functions get no value where the default is wanted.
pub enum OptionKind {
    /// A boolean; `false` by default.
    Boolean,
    /// A number that is made of a value of that type.
    Number(Type, fn(Value<'_>) -> Result<i64, Refusal>),
    /// Anything else, made of a value of that type for that server; `None` for no value at all.
    Boxed(Type, fn(Server, Value<'_>) -> Result<Option<Boxed>, Refusal>),
}

impl OptionKind {
    /// Whether lighttpd2 keeps it behind a pointer. Those are a list of their own.
    pub(super) const fn is_boxed(&self) -> bool {
        matches!(self, Self::Boxed(..))
    }
}

/// A boolean option of a module's, to be asked for by [`VRequest::boolean`].
#[derive(Clone, Copy)]
pub struct BooleanOption(pub(super) usize);

/// A number option of a module's, to be asked for by [`VRequest::number`].
#[derive(Clone, Copy)]
pub struct NumberOption(pub(super) usize);

/// A boxed option of a module's whose values are `T`s, to be asked for by [`VRequest::boxed`].
pub struct BoxedOption<T>(pub(super) usize, PhantomData<fn() -> T>);

impl<T> Clone for BoxedOption<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for BoxedOption<T> {}

impl BooleanOption {
    /// The option of that name. Does not compile where `rows` have no boolean one.
    pub const fn named(rows: &[OptionRow], name: &CStr) -> Self {
        let row = row_named(rows, name);
        assert!(matches!(rows[row].kind, OptionKind::Boolean));
        Self(place_of(rows, row))
    }
}

impl NumberOption {
    /// The option of that name. Does not compile where `rows` have no number one.
    pub const fn named(rows: &[OptionRow], name: &CStr) -> Self {
        let row = row_named(rows, name);
        assert!(matches!(rows[row].kind, OptionKind::Number(..)));
        Self(place_of(rows, row))
    }
}

impl<T: 'static> BoxedOption<T> {
    /// The option of that name. Does not compile where `rows` have no boxed one.
    pub const fn named(rows: &[OptionRow], name: &CStr) -> Self {
        let row = row_named(rows, name);
        assert!(rows[row].kind.is_boxed());
        Self(place_of(rows, row), PhantomData)
    }
}

const fn row_named(rows: &[OptionRow], name: &CStr) -> usize {
    let mut row = 0;
    while !is_same(rows[row].name.to_bytes(), name.to_bytes()) {
        row += 1;
    }
    row
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

/// lighttpd2 has two lists of options: the place of this one in its own.
const fn place_of(rows: &[OptionRow], row: usize) -> usize {
    let (mut place, mut other) = (0, 0);
    while other < row {
        if rows[other].kind.is_boxed() == rows[row].kind.is_boxed() {
            place += 1;
        }
        other += 1;
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &[OptionRow] = &[
        OptionRow { name: c"a", kind: OptionKind::Boolean },
        OptionRow { name: c"aa", kind: OptionKind::Boxed(Type::String, |_, _| Ok(None)) },
        OptionRow { name: c"b", kind: OptionKind::Number(Type::List, |_| Ok(0)) },
        OptionRow { name: c"c", kind: OptionKind::Boxed(Type::Any, |_, _| Ok(None)) },
    ];

    #[test]
    fn options_are_found_in_the_list_of_their_kind() {
        assert_eq!(BooleanOption::named(ROWS, c"a").0, 0);
        assert_eq!(NumberOption::named(ROWS, c"b").0, 1);
        assert_eq!(BoxedOption::<String>::named(ROWS, c"aa").0, 0);
        assert_eq!(BoxedOption::<String>::named(ROWS, c"c").0, 1);
    }
}
