//! The statements that are answered.

/// A statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Statement {
    /// SET, its assignments in order.
    Set(Vec<Assignment>),
    /// SELECT without FROM.
    Select(Vec<Item>),
    /// SHOW VARIABLES.
    ShowVariables {
        /// SHOW GLOBAL VARIABLES.
        global: bool,
        /// LIKE.
        pattern: Option<String>,
    },
    /// SHOW WARNINGS.
    ShowWarnings,
    /// Has nothing to do here and does no harm: USE, COMMIT ...
    Ignored,
}

/// One part of a SET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Assignment {
    /// `@name = value`; the name in lower case.
    User(String, Expression),
    /// `autocommit = value`.
    Autocommit(bool),
    /// `NAMES charset`, None for DEFAULT.
    Names(Option<String>),
    /// Another variable of the session.
    Ignored,
}

/// One column of a SELECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Its heading: the alias, or the text of the expression.
    pub(super) name: String,
    /// What it is.
    pub(super) value: Expression,
}

/// A value in a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expression {
    /// A number.
    Integer(i128),
    /// A text.
    Text(String),
    /// NULL.
    Null,
    /// `@name`; in lower case.
    User(String),
    /// `@@name` without its scope, as written.
    System(String),
    /// A function without arguments.
    Function(Function),
}

/// The functions that are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    /// `VERSION()`.
    Version,
    /// `UNIX_TIMESTAMP()`.
    UnixTimestamp,
    /// `CONNECTION_ID()`.
    ConnectionId,
    /// `DATABASE()`.
    Database,
    /// `USER()`, `CURRENT_USER()`.
    User,
}
