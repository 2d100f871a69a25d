//! What statements are answered with.

use super::handshake::Greeting;
use super::result::{Column, ResultSet, STATUS_AUTOCOMMIT, SqlError, column_flag, column_type};
use super::session::Identity;
use super::statement::{Assignment, Expression, Function, Item, Statement};
use super::variables::{SystemValue, SystemVariables, UserVariables, Value};

/// Collation of numbers (`binary`).
const BINARY: u16 = 63;
/// `decimals` of texts: there is no fixed number.
const NOT_FIXED: u8 = 31;

/// The answer to a statement that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// OK.
    Ok,
    /// Rows.
    Rows(ResultSet),
}

/// The character set of a connection: it decides on the lengths of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Charset {
    /// Collation for texts.
    collation: u16,
    /// Most bytes of a character.
    bytes: u32,
}

impl Charset {
    /// By the collation that a client begins with.
    pub(super) fn of_collation(collation: u8) -> Charset {
        let bytes = match collation {
            45 | 46 | 224..=247 | 255 => 4,
            33 | 76 | 83 | 192..=215 | 223 => 3,
            _ => 1,
        };
        Charset {
            collation: u16::from(collation),
            bytes,
        }
    }

    /// By its name in SET NAMES.
    fn named(name: &str) -> Result<Charset, SqlError> {
        let (collation, bytes) = match name.to_ascii_lowercase().as_str() {
            "utf8mb4" => (255, 4),
            "utf8" | "utf8mb3" => (33, 3),
            "latin1" => (8, 1),
            "ascii" => (11, 1),
            "binary" => (BINARY, 1),
            _ => {
                let text = format!("Unknown character set: '{name}'");
                return Err(SqlError::new(1115, "42000", text));
            }
        };
        Ok(Charset { collation, bytes })
    }
}

/// All that statements read and change.
#[derive(Debug)]
pub(super) struct Conversation {
    /// `@@...`.
    system: SystemVariables,
    /// `@...`.
    pub(super) user_variables: UserVariables,
    /// `USER()`: user and host.
    user: String,
    /// `CONNECTION_ID()`.
    connection_id: u32,
    /// The charset at login, for SET NAMES DEFAULT.
    charset_at_login: Charset,
    /// The charset now.
    charset: Charset,
    /// A status bit; there are no transactions.
    autocommit: bool,
}

impl Conversation {
    /// Before the login.
    pub(super) fn new(identity: Identity, greeting: Option<&Greeting>) -> Conversation {
        let (version, checksum, connection_id) = match greeting {
            Some(g) => (
                g.version.clone(),
                g.binlog_checksum.clone(),
                g.connection_id,
            ),
            None => (String::new(), String::new(), 0),
        };
        let Identity {
            server_id,
            server_uuid,
        } = identity;
        let charset = Charset::of_collation(0);
        Conversation {
            system: SystemVariables::new(server_id, server_uuid.to_string(), version, checksum),
            user_variables: UserVariables::default(),
            user: String::new(),
            connection_id,
            charset_at_login: charset,
            charset,
            autocommit: true,
        }
    }

    /// Who is there, from where, and with which collation.
    pub(super) fn logged_in(&mut self, user: String, collation: u8) {
        self.user = user;
        self.charset_at_login = Charset::of_collation(collation);
        self.charset = self.charset_at_login;
    }

    /// Whether the source writes checksums into its events.
    pub(super) fn has_checksums(&self) -> bool {
        match self.system.get("binlog_checksum") {
            Some(SystemValue::Text(name)) => !name.eq_ignore_ascii_case("NONE"),
            other => unreachable!("the checksum's name is a text: {other:?}"),
        }
    }

    /// Server status for OK and EOF packets.
    pub(super) fn status(&self) -> u16 {
        if self.autocommit {
            STATUS_AUTOCOMMIT
        } else {
            0
        }
    }

    /// Forgets all that was set since the login.
    pub(super) fn reset(&mut self) {
        self.user_variables.clear();
        self.charset = self.charset_at_login;
        self.autocommit = true;
    }

    /// Carries out a statement. `unix_time` is now, in seconds.
    pub(super) fn answer(
        &mut self,
        statement: Statement,
        unix_time: u64,
    ) -> Result<Answer, SqlError> {
        match statement {
            Statement::Set(assignments) => {
                for assignment in assignments {
                    self.assign(assignment, unix_time)?;
                }
                Ok(Answer::Ok)
            }
            Statement::Select(items) => self.select(items, unix_time).map(Answer::Rows),
            Statement::ShowVariables { global, pattern } => Ok(Answer::Rows(
                self.show_variables(global, pattern.as_deref().unwrap_or("%")),
            )),
            Statement::ShowWarnings => Ok(Answer::Rows(self.warnings())),
            Statement::Ignored => Ok(Answer::Ok),
        }
    }

    fn assign(&mut self, assignment: Assignment, unix_time: u64) -> Result<(), SqlError> {
        match assignment {
            Assignment::User(name, expression) => {
                let value = self.evaluate(expression, unix_time)?.0;
                self.user_variables.set(name, value)?;
            }
            Assignment::Autocommit(on) => self.autocommit = on,
            Assignment::Names(Some(charset)) => self.charset = Charset::named(&charset)?,
            Assignment::Names(None) => self.charset = self.charset_at_login,
            Assignment::Ignored => {}
        }
        Ok(())
    }

    fn select(&self, items: Vec<Item>, unix_time: u64) -> Result<ResultSet, SqlError> {
        let mut columns = Vec::new();
        let mut row = Vec::new();
        for Item { name, value } in items {
            let (value, shape) = self.evaluate(value, unix_time)?;
            columns.push(self.column(name, shape));
            row.push(match value {
                Value::Integer(number) => Some(number.to_string()),
                Value::Text(text) => Some(text),
                Value::Null => None,
            });
        }
        Ok(ResultSet {
            columns,
            rows: vec![row],
            no_index: false,
        })
    }

    /// The value of an expression, and how MySQL declares a column with it.
    fn evaluate(&self, expression: Expression, unix_time: u64) -> Result<(Value, Shape), SqlError> {
        let characters = |text: &str| text.chars().count() as u32;
        Ok(match expression {
            Expression::Integer(number) => {
                let length = number.unsigned_abs().to_string().len() as u32 + 1;
                let flags = column_flag::NOT_NULL;
                (Value::Integer(number), Shape::Number { length, flags })
            }
            Expression::Text(text) => {
                let shape = Shape::Text {
                    characters: characters(&text),
                    not_null: true,
                };
                (Value::Text(text), shape)
            }
            Expression::Null => (
                Value::Null,
                Shape::Text {
                    characters: 0,
                    not_null: false,
                },
            ),
            Expression::User(name) => {
                let value = self.user_variables.get(&name).clone();
                let shape = match value {
                    Value::Integer(_) => Shape::Number {
                        length: 21,
                        flags: 0,
                    },
                    Value::Text(_) | Value::Null => Shape::LongText,
                };
                (value, shape)
            }
            Expression::System(name) => self.system_variable(&name)?,
            Expression::Function(function) => self.function(function, unix_time),
        })
    }

    fn system_variable(&self, name: &str) -> Result<(Value, Shape), SqlError> {
        let Some(value) = self.system.get(name) else {
            let text = format!("Unknown system variable '{name}'");
            return Err(SqlError::new(1193, "HY000", text));
        };
        Ok(match value {
            SystemValue::Number(number) => {
                let shape = Shape::Number {
                    length: 21,
                    flags: column_flag::UNSIGNED,
                };
                (Value::Integer(i128::from(*number)), shape)
            }
            SystemValue::Text(text) => (
                Value::Text(text.clone()),
                Shape::Text {
                    characters: 21845,
                    not_null: false,
                },
            ),
            SystemValue::Switch(on) => (
                Value::Integer(i128::from(*on)),
                Shape::Number {
                    length: 1,
                    flags: 0,
                },
            ),
        })
    }

    fn function(&self, function: Function, unix_time: u64) -> (Value, Shape) {
        let text = |text: &str, characters: u32| {
            (
                Value::Text(text.to_owned()),
                Shape::Text {
                    characters,
                    not_null: true,
                },
            )
        };
        let number = |number: u64, flags: u16| {
            let flags = flags | column_flag::NOT_NULL;
            (
                Value::Integer(i128::from(number)),
                Shape::Number { length: 21, flags },
            )
        };
        match function {
            Function::Version => match self.system.get("version") {
                Some(SystemValue::Text(version)) => text(version, version.chars().count() as u32),
                other => unreachable!("the version is a text: {other:?}"),
            },
            Function::UnixTimestamp => number(unix_time, 0),
            Function::ConnectionId => number(u64::from(self.connection_id), column_flag::UNSIGNED),
            Function::Database => (
                Value::Null,
                Shape::Text {
                    characters: 64,
                    not_null: false,
                },
            ),
            Function::User => text(&self.user, 288),
        }
    }

    fn show_variables(&self, global: bool, pattern: &str) -> ResultSet {
        let table = if global {
            "global_variables"
        } else {
            "session_variables"
        };
        let column = |name: &str, characters: u32, flags: u16| Column {
            name: name.to_owned(),
            table: Some(("performance_schema", table)),
            kind: column_type::VAR_STRING,
            length: characters * self.charset.bytes,
            charset: self.charset.collation,
            flags,
            decimals: 0,
        };
        let row = |(name, value): &(&'static str, SystemValue)| {
            let value = match value {
                SystemValue::Number(number) => number.to_string(),
                SystemValue::Text(text) => text.clone(),
                SystemValue::Switch(on) => if *on { "ON" } else { "OFF" }.to_owned(),
            };
            vec![Some((*name).to_owned()), Some(value)]
        };
        ResultSet {
            columns: vec![
                column(
                    "Variable_name",
                    64,
                    column_flag::NOT_NULL | column_flag::NO_DEFAULT,
                ),
                column("Value", 1024, 0),
            ],
            rows: self.system.like(pattern).map(row).collect(),
            no_index: true,
        }
    }

    /// SHOW WARNINGS: there are none.
    fn warnings(&self) -> ResultSet {
        let text = |characters| Shape::Text {
            characters,
            not_null: true,
        };
        let code = Column {
            kind: column_type::LONG,
            ..self.column(
                "Code".to_owned(),
                Shape::Number {
                    length: 5,
                    flags: column_flag::NOT_NULL | column_flag::UNSIGNED,
                },
            )
        };
        ResultSet {
            columns: vec![
                self.column("Level".to_owned(), text(7)),
                code,
                self.column("Message".to_owned(), text(512)),
            ],
            rows: Vec::new(),
            no_index: false,
        }
    }

    /// A column that belongs to no table.
    fn column(&self, name: String, shape: Shape) -> Column {
        let Charset { collation, bytes } = self.charset;
        let (kind, length, charset, flags, decimals) = match shape {
            Shape::Number { length, flags } => (
                column_type::LONGLONG,
                length,
                BINARY,
                flags | column_flag::BINARY,
                0,
            ),
            Shape::Text {
                characters,
                not_null,
            } => {
                let flags = if not_null { column_flag::NOT_NULL } else { 0 };
                (
                    column_type::VAR_STRING,
                    characters * bytes,
                    collation,
                    flags,
                    NOT_FIXED,
                )
            }
            Shape::LongText => (
                column_type::LONG_BLOB,
                LONG_TEXT_CHARACTERS * bytes,
                collation,
                0,
                NOT_FIXED,
            ),
        };
        Column {
            name,
            table: None,
            kind,
            length,
            charset,
            flags,
            decimals,
        }
    }
}

/// How MySQL declares a column.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// LONGLONG.
    Number {
        /// Digits, with the sign.
        length: u32,
        /// Flags besides BINARY.
        flags: u16,
    },
    /// VAR_STRING.
    Text {
        /// Longest value.
        characters: u32,
        /// Flag NOT_NULL.
        not_null: bool,
    },
    /// LONG_BLOB, for user variables.
    LongText,
}

/// Length that MySQL gives the text of a user variable: 201326580 bytes of utf8mb4.
const LONG_TEXT_CHARACTERS: u32 = 201_326_580 / 4;
