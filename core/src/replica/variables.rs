//! The variables a client can ask for and set.

use std::collections::BTreeMap;

use super::command::STATEMENT_BYTES_MAX;
use super::result::SqlError;

/// A connection holds at most so many user variables ...
const USER_VARIABLES_MAX: usize = 64;
/// ... with values of at most this length.
const USER_VARIABLE_BYTES_MAX: usize = 4096;

/// A value of a user variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A number.
    Integer(i128),
    /// A text.
    Text(String),
    /// NULL; a variable that was never set is it too.
    Null,
}

/// The user variables of a connection, by their names in lower case.
#[derive(Debug, Default)]
pub(super) struct UserVariables(BTreeMap<String, Value>);

impl UserVariables {
    /// The value of a variable; NULL when it was never set.
    pub(super) fn get(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or(&Value::Null)
    }

    /// Sets a variable.
    pub(super) fn set(&mut self, name: String, value: Value) -> Result<(), SqlError> {
        let len = name.len()
            + if let Value::Text(text) = &value {
                text.len()
            } else {
                0
            };
        let fits = self.0.len() < USER_VARIABLES_MAX || self.0.contains_key(&name);
        if !fits || len > USER_VARIABLE_BYTES_MAX {
            let text = format!(
                "kingbus keeps at most {USER_VARIABLES_MAX} user variables of \
                 {USER_VARIABLE_BYTES_MAX} bytes"
            );
            return Err(SqlError::new(1235, "42000", text));
        }
        self.0.insert(name, value);
        Ok(())
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The text of the first of these that is set.
    pub(super) fn text(&self, names: [&str; 2]) -> Option<&str> {
        names.into_iter().find_map(|name| match self.get(name) {
            Value::Text(text) => Some(text.as_str()),
            Value::Integer(_) | Value::Null => None,
        })
    }

    /// The number of the first of these that is set, or 0; texts count as what they begin with.
    pub(super) fn number(&self, names: [&str; 2]) -> u64 {
        let number = names.into_iter().find_map(|name| match self.get(name) {
            Value::Integer(number) => Some(u64::try_from(*number).unwrap_or(0)),
            Value::Text(text) => Some(text.parse().unwrap_or(0)),
            Value::Null => None,
        });
        number.unwrap_or(0)
    }
}

/// A value of a system variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SystemValue {
    /// A number without sign.
    Number(u64),
    /// A text.
    Text(String),
    /// `ON` and `OFF` in SHOW, 1 and 0 in SELECT.
    Switch(bool),
}

/// The system variables: names in lower case, in the order of their names. Those that only the
/// source could answer for (`binlog_format` ...) are not among them.
#[derive(Debug)]
pub(super) struct SystemVariables(Vec<(&'static str, SystemValue)>);

impl SystemVariables {
    /// These variables, and those that are the same everywhere.
    pub(super) fn new(
        server_id: u32,
        server_uuid: String,
        version: String,
        binlog_checksum: String,
    ) -> SystemVariables {
        use SystemValue::{Number, Switch, Text};
        let on = || Text("ON".to_owned());
        let mut variables = vec![
            ("binlog_checksum", Text(binlog_checksum)),
            ("enforce_gtid_consistency", on()),
            ("gtid_mode", on()),
            ("log_bin", Switch(true)),
            ("max_allowed_packet", Number(STATEMENT_BYTES_MAX as u64)),
            ("read_only", Switch(true)),
            ("server_id", Number(u64::from(server_id))),
            ("server_uuid", Text(server_uuid)),
            ("super_read_only", Switch(true)),
            ("version", Text(version)),
            ("version_comment", Text("kingbus".to_owned())),
        ];
        variables.sort_by_key(|(name, _)| *name);
        SystemVariables(variables)
    }

    /// One variable, its name in any case.
    pub(super) fn get(&self, name: &str) -> Option<&SystemValue> {
        self.0
            .iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known))
            .map(|(_, value)| value)
    }

    /// Those whose name is LIKE the pattern.
    pub(super) fn like(&self, pattern: &str) -> impl Iterator<Item = &(&'static str, SystemValue)> {
        let pattern = pattern.to_lowercase();
        self.0
            .iter()
            .filter(move |(name, _)| is_like(name.as_bytes(), pattern.as_bytes()))
    }
}

/// SQL's LIKE with the escape character `\`: `%` is any number of characters, `_` one.
fn is_like(text: &[u8], pattern: &[u8]) -> bool {
    // Where to go on when a match fails: after the last `%`, one character of the text later.
    let mut retry: Option<(usize, usize)> = None;
    let (mut t, mut p) = (0, 0);
    while t < text.len() {
        let (literal, len) = match pattern.get(p..).unwrap_or(&[]) {
            [b'%', ..] => {
                retry = Some((t, p));
                p += 1;
                continue;
            }
            [b'_', ..] => (None, 1),
            [b'\\', c, ..] => (Some(*c), 2),
            [c, ..] => (Some(*c), 1),
            [] => (Some(0), 0),
        };
        if len > 0 && literal.is_none_or(|c| c == text[t]) {
            t += 1;
            p += len;
        } else if let Some((from, percent)) = retry {
            retry = Some((from + 1, percent));
            t = from + 1;
            p = percent + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == b'%')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_is_that_of_sql() {
        for (text, pattern, expected) in [
            ("server_id", "server_id", true),
            ("server_id", "server\\_id", true),
            ("serverxid", "server\\_id", false),
            ("server_id", "%", true),
            ("server_id", "%id", true),
            ("server_id", "s%_d%", true),
            ("server_id", "", false),
            ("", "%%", true),
            ("aab", "%ab", true),
            ("server_id", "server_id_", false),
        ] {
            assert_eq!(
                is_like(text.as_bytes(), pattern.as_bytes()),
                expected,
                "{text} {pattern}"
            );
        }
    }

    #[test]
    fn user_variables_are_bounded() {
        let mut variables = UserVariables::default();
        for n in 0..USER_VARIABLES_MAX {
            assert_eq!(variables.set(format!("v{n}"), Value::Integer(1)), Ok(()));
        }
        assert!(variables.set("one_more".to_owned(), Value::Null).is_err());
        assert_eq!(variables.set("v0".to_owned(), Value::Integer(2)), Ok(()));
        let long = Value::Text("x".repeat(USER_VARIABLE_BYTES_MAX));
        assert!(variables.set("v0".to_owned(), long).is_err());
        assert_eq!(variables.number(["none", "v0"]), 2);
    }
}
