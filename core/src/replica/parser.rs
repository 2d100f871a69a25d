//! SQL text into a [`Statement`]: the few shapes that are answered, and errors for the rest.

use super::result::SqlError;
use super::statement::{Assignment, Expression, Function, Item, Statement};
use super::token::{Kind, Token, tokens};

/// First words of statements that MySQL knows and kingbus does not answer.
const KNOWN: &str = "alter analyze binlog cache call change check checksum clone create deallocate delete \
    desc describe do drop execute explain flush get grant handler help import insert \
    install kill load lock optimize prepare purge release rename repair replace reset \
    resignal restart revoke savepoint select set show shutdown signal start stop table \
    truncate uninstall unlock update values with xa";

/// Matches a statement. Error: what to tell the client instead.
pub(super) fn parse(sql: &str) -> Result<Statement, SqlError> {
    let tokens = tokens(sql).map_err(|at| syntax_error(sql, at))?;
    let mut parser = Parser {
        sql,
        tokens: &tokens,
        at: 0,
    };
    if parser.at_end() {
        return Err(SqlError::new(1065, "42000", "Query was empty"));
    }
    let statement = parser.statement()?;
    match statement {
        Some(statement) => Ok(statement),
        None if parser.is_known() => Err(parser.unsupported()),
        None => Err(syntax_error(sql, tokens[0].start)),
    }
}

/// MySQL's text for a statement that it cannot read from `at` on.
fn syntax_error(sql: &str, at: usize) -> SqlError {
    let near = sql[at..].trim_end();
    let near = &near[..near.floor_char_boundary(80)];
    let line = sql[..at].matches('\n').count() + 1;
    let text = format!(
        "You have an error in your SQL syntax; check the manual that corresponds to your MySQL \
         server version for the right syntax to use near '{near}' at line {line}"
    );
    SqlError::new(1064, "42000", text)
}

/// Walks over the tokens. Its methods answer None where the text is none of the shapes looked for.
struct Parser<'a> {
    sql: &'a str,
    tokens: &'a [Token],
    at: usize,
}

impl<'a> Parser<'a> {
    fn statement(&mut self) -> Result<Option<Statement>, SqlError> {
        if self.word("set") {
            return self.set();
        }
        let statement = if self.word("select") {
            self.select()
        } else if self.word("show") {
            self.show()
        } else {
            self.ignored()
        };
        Ok(statement)
    }

    /// After SET.
    fn set(&mut self) -> Result<Option<Statement>, SqlError> {
        let mut assignments = Vec::new();
        loop {
            if self.sets_globally() {
                let text = "Access denied; you need (at least one of) the SUPER or \
                            SYSTEM_VARIABLES_ADMIN privilege(s) for this operation";
                return Err(SqlError::new(1227, "42000", text));
            }
            let Some(assignment) = self.assignment() else {
                return Ok(None);
            };
            assignments.push(assignment);
            if !self.symbol(',') {
                return Ok(self.at_end().then_some(Statement::Set(assignments)));
            }
        }
    }

    /// Whether a variable of the server is about to be set.
    fn sets_globally(&self) -> bool {
        match self.peek() {
            Some(Kind::Word(word)) => ["global", "persist", "persist_only"]
                .iter()
                .any(|w| word.eq_ignore_ascii_case(w)),
            Some(Kind::SystemVariable(name)) => {
                let scope = scope_and_name(name).0;
                ["global", "persist", "persist_only"]
                    .iter()
                    .any(|w| scope.eq_ignore_ascii_case(w))
            }
            _ => false,
        }
    }

    fn assignment(&mut self) -> Option<Assignment> {
        if let Some(Kind::UserVariable(name)) = self.peek() {
            self.at += 1;
            self.assign()?;
            return Some(Assignment::User(name.to_lowercase(), self.expression()?));
        }
        if self.word("names") {
            return self.names();
        }
        if self.word("character") {
            return (self.word("set") && self.skip_value()).then_some(Assignment::Ignored);
        }
        let _ = self.word("session") || self.word("local");
        if self.word("transaction") {
            // Isolation level and access mode, which have commas of their own.
            self.at = self.tokens.len();
            return Some(Assignment::Ignored);
        }
        let name = match self.next()? {
            Kind::Word(name) | Kind::Quoted(name) => name.as_str(),
            Kind::SystemVariable(name) => scope_and_name(name).1,
            Kind::Text(_) | Kind::Number(_) | Kind::UserVariable(_) | Kind::Symbol(_) => {
                return None;
            }
        };
        self.assign()?;
        if name.eq_ignore_ascii_case("password") {
            return None;
        }
        if name.eq_ignore_ascii_case("autocommit") {
            return self.switch().map(Assignment::Autocommit);
        }
        self.skip_value().then_some(Assignment::Ignored)
    }

    /// `=` or `:=`.
    fn assign(&mut self) -> Option<()> {
        let _ = self.symbol(':');
        self.symbol('=').then_some(())
    }

    /// After SET NAMES.
    fn names(&mut self) -> Option<Assignment> {
        if self.word("default") {
            return Some(Assignment::Names(None));
        }
        let charset = self.name()?.to_owned();
        if self.word("collate") {
            self.name()?;
        }
        Some(Assignment::Names(Some(charset)))
    }

    /// A name or a text.
    fn name(&mut self) -> Option<&'a str> {
        match self.next()? {
            Kind::Word(name) | Kind::Quoted(name) | Kind::Text(name) => Some(name),
            Kind::Number(_) | Kind::UserVariable(_) | Kind::SystemVariable(_) | Kind::Symbol(_) => {
                None
            }
        }
    }

    /// A value that switches something on or off.
    fn switch(&mut self) -> Option<bool> {
        match self.next()? {
            Kind::Word(word) | Kind::Text(word) | Kind::Number(word) => {
                let is = |words: [&str; 3]| words.iter().any(|w| word.eq_ignore_ascii_case(w));
                is(["1", "on", "true"])
                    .then_some(true)
                    .or(is(["0", "off", "false"]).then_some(false))
            }
            Kind::Quoted(_) | Kind::UserVariable(_) | Kind::SystemVariable(_) | Kind::Symbol(_) => {
                None
            }
        }
    }

    /// Steps over any value, up to the next comma outside of parentheses; false if there is none.
    fn skip_value(&mut self) -> bool {
        let start = self.at;
        let mut depth = 0_u32;
        while let Some(kind) = self.peek() {
            match kind {
                Kind::Symbol(',' | ';') if depth == 0 => break,
                Kind::Symbol('(') => depth += 1,
                Kind::Symbol(')') => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
        }
        self.at > start
    }

    /// After SELECT: columns without FROM; LIMIT is let through, there is one row.
    fn select(&mut self) -> Option<Statement> {
        let mut items = Vec::new();
        loop {
            let start = self.token()?.start;
            let value = self.expression()?;
            let end = self.tokens[self.at - 1].end;
            let alias = if self.word("as") || self.peek().is_some_and(is_alias) {
                Some(self.name()?.to_owned())
            } else {
                None
            };
            items.push(Item {
                name: alias.unwrap_or(self.sql[start..end].to_owned()),
                value,
            });
            if !self.symbol(',') {
                break;
            }
        }
        if self.word("limit") {
            let Kind::Number(rows) = self.next()? else {
                return None;
            };
            rows.parse::<u64>().ok().filter(|rows| *rows > 0)?;
        }
        self.at_end().then_some(Statement::Select(items))
    }

    fn expression(&mut self) -> Option<Expression> {
        let negative = self.symbol('-');
        let expression = match self.next()? {
            Kind::Number(digits) => {
                let number = i128::from(digits.parse::<u64>().ok()?);
                return Some(Expression::Integer(if negative { -number } else { number }));
            }
            Kind::Text(text) => Expression::Text(text.clone()),
            Kind::UserVariable(name) => Expression::User(name.to_lowercase()),
            Kind::SystemVariable(name) => Expression::System(scope_and_name(name).1.to_owned()),
            Kind::Word(word) if word.eq_ignore_ascii_case("null") => Expression::Null,
            Kind::Word(word) => {
                let function = function(word)?;
                if !(self.symbol('(') && self.symbol(')')) {
                    return None;
                }
                Expression::Function(function)
            }
            Kind::Quoted(_) | Kind::Symbol(_) => return None,
        };
        (!negative).then_some(expression)
    }

    /// After SHOW.
    fn show(&mut self) -> Option<Statement> {
        if self.word("warnings") {
            return self.at_end().then_some(Statement::ShowWarnings);
        }
        let global = self.word("global");
        if !global {
            let _ = self.word("session") || self.word("local");
        }
        if !self.word("variables") {
            return None;
        }
        let pattern = if self.word("like") {
            let Kind::Text(pattern) = self.next()? else {
                return None;
            };
            Some(pattern.clone())
        } else {
            None
        };
        self.at_end()
            .then_some(Statement::ShowVariables { global, pattern })
    }

    /// Statements that clients send out of habit.
    fn ignored(&mut self) -> Option<Statement> {
        let ignored = self.word("use")
            || self.word("begin")
            || self.word("commit")
            || self.word("rollback")
            || self.word("start") && self.word("transaction");
        ignored.then_some(Statement::Ignored)
    }

    /// Whether MySQL would know this statement.
    fn is_known(&self) -> bool {
        match &self.tokens[0].kind {
            Kind::Word(word) => KNOWN
                .split(' ')
                .any(|known| word.eq_ignore_ascii_case(known)),
            Kind::Symbol('(') => true,
            _ => false,
        }
    }

    /// What a client is told about a statement that is not answered.
    fn unsupported(&self) -> SqlError {
        let words: Vec<String> = self
            .tokens
            .iter()
            .map_while(|token| match &token.kind {
                Kind::Word(word) => Some(word.to_uppercase()),
                _ => None,
            })
            .take(3)
            .collect();
        let text = format!(
            "This version of kingbus doesn't yet support '{}'",
            words.join(" ")
        );
        SqlError::new(1235, "42000", text)
    }

    fn token(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    fn peek(&self) -> Option<&'a Kind> {
        self.token().map(|token| &token.kind)
    }

    /// Takes the next token.
    fn next(&mut self) -> Option<&'a Kind> {
        self.at += 1;
        self.tokens.get(self.at - 1).map(|token| &token.kind)
    }

    /// Takes this keyword, if it is the next token.
    fn word(&mut self, keyword: &str) -> bool {
        let is = matches!(self.peek(), Some(Kind::Word(w)) if w.eq_ignore_ascii_case(keyword));
        self.at += usize::from(is);
        is
    }

    /// Takes this character, if it is the next token.
    fn symbol(&mut self, symbol: char) -> bool {
        let is = self.peek() == Some(&Kind::Symbol(symbol));
        self.at += usize::from(is);
        is
    }

    /// Whether the statement ends here, perhaps with a semicolon.
    fn at_end(&self) -> bool {
        let rest = self.tokens.get(self.at..).unwrap_or(&[]);
        rest.iter().all(|token| token.kind == Kind::Symbol(';'))
    }
}

/// A function by its name.
fn function(name: &str) -> Option<Function> {
    Some(match name.to_ascii_lowercase().as_str() {
        "version" => Function::Version,
        "unix_timestamp" => Function::UnixTimestamp,
        "connection_id" => Function::ConnectionId,
        "database" | "schema" => Function::Database,
        "user" | "current_user" | "session_user" | "system_user" => Function::User,
        _ => return None,
    })
}

/// Whether a token after an expression is its alias.
fn is_alias(kind: &Kind) -> bool {
    match kind {
        Kind::Word(word) => !["limit", "from"]
            .iter()
            .any(|w| word.eq_ignore_ascii_case(w)),
        Kind::Quoted(_) => true,
        Kind::Text(_)
        | Kind::Number(_)
        | Kind::UserVariable(_)
        | Kind::SystemVariable(_)
        | Kind::Symbol(_) => false,
    }
}

/// `GLOBAL.x` into `GLOBAL` and `x`; the scope is empty where there is none.
fn scope_and_name(variable: &str) -> (&str, &str) {
    variable.split_once('.').unwrap_or(("", variable))
}
