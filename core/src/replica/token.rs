//! SQL text into tokens.

/// No statement that is answered with more than an error has more tokens.
const TOKENS_MAX: usize = 512;

/// A token and where it stands in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// What it is.
    pub(super) kind: Kind,
    /// Its first byte.
    pub(super) start: usize,
    /// One past its last byte.
    pub(super) end: usize,
}

/// Kinds of tokens. Names are as written; compare them without case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword or name.
    Word(String),
    /// A name in back-quotes.
    Quoted(String),
    /// A text in single or double quotes.
    Text(String),
    /// Digits, perhaps with a point.
    Number(String),
    /// `@name`.
    UserVariable(String),
    /// `@@name` or `@@scope.name`.
    SystemVariable(String),
    /// Anything else.
    Symbol(char),
}

/// The tokens of a statement, without comments. `/*! ... */` counts as what is in it, as in MySQL.
///
/// Error: where the text stops making sense (an open quote, too many tokens).
pub(super) fn tokens(sql: &str) -> Result<Vec<Token>, usize> {
    let mut lexer = Lexer {
        sql,
        at: 0,
        executable_comment: false,
    };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blank();
        let start = lexer.at;
        let Some(kind) = lexer.token()? else {
            return Ok(tokens);
        };
        if tokens.len() == TOKENS_MAX {
            return Err(start);
        }
        tokens.push(Token {
            kind,
            start,
            end: lexer.at,
        });
    }
}

struct Lexer<'a> {
    sql: &'a str,
    /// Offset of the next character.
    at: usize,
    /// Inside `/*! ... */`.
    executable_comment: bool,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.sql[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// The next token, None at the end. Error: where a quote was left open.
    fn token(&mut self) -> Result<Option<Kind>, usize> {
        let Some(first) = self.peek() else {
            return Ok(None);
        };
        let kind = match first {
            '\'' | '"' => Kind::Text(self.quoted()?),
            '`' => Kind::Quoted(self.quoted()?),
            '0'..='9' => Kind::Number(self.run(|c| c.is_ascii_digit() || c == '.')),
            '@' if self.rest().starts_with("@@") => {
                self.at += 2;
                Kind::SystemVariable(self.run(is_variable))
            }
            '@' => {
                self.at += 1;
                match self.peek() {
                    Some('\'' | '"' | '`') => Kind::UserVariable(self.quoted()?),
                    _ => Kind::UserVariable(self.run(is_variable)),
                }
            }
            c if is_word(c) => Kind::Word(self.run(is_word)),
            c => {
                self.at += c.len_utf8();
                Kind::Symbol(c)
            }
        };
        Ok(Some(kind))
    }

    /// The characters from here for which `belongs` holds.
    fn run(&mut self, belongs: fn(char) -> bool) -> String {
        let rest = self.rest();
        let len = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        self.at += len;
        rest[..len].to_owned()
    }

    /// A quoted text, with doubled quotes and (not for names) backslashes resolved.
    fn quoted(&mut self) -> Result<String, usize> {
        let start = self.at;
        let quote = self.next().ok_or(start)?;
        let mut text = String::new();
        loop {
            let c = self.next().ok_or(start)?;
            if c == quote {
                if self.peek() != Some(quote) {
                    return Ok(text);
                }
                self.at += 1;
                text.push(quote);
            } else if c == '\\' && quote != '`' {
                match self.next().ok_or(start)? {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    'r' => text.push('\r'),
                    '0' => text.push('\0'),
                    // For LIKE, which resolves these itself.
                    c @ ('%' | '_') => text.extend(['\\', c]),
                    c => text.push(c),
                }
            } else {
                text.push(c);
            }
        }
    }

    /// Steps over white space and comments.
    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let skipped = if rest.starts_with(|c: char| c.is_whitespace()) {
                rest.len() - rest.trim_start().len()
            } else if rest.starts_with('#') || is_dash_comment(rest) {
                rest.find('\n').map_or(rest.len(), |end| end + 1)
            } else if let Some(inside) = rest.strip_prefix("/*!") {
                self.executable_comment = true;
                let version = inside.find(|c: char| !c.is_ascii_digit());
                3 + version.unwrap_or(inside.len())
            } else if let Some(inside) = rest.strip_prefix("/*") {
                inside.find("*/").map_or(rest.len(), |end| end + 4)
            } else if rest.starts_with("*/") && self.executable_comment {
                self.executable_comment = false;
                2
            } else {
                return;
            };
            self.at += skipped;
        }
    }
}

/// `-- ` begins a comment only with white space (or nothing) after it.
fn is_dash_comment(rest: &str) -> bool {
    rest.strip_prefix("--").is_some_and(|rest| {
        rest.chars()
            .next()
            .is_none_or(|c| c.is_whitespace() || c.is_control())
    })
}

/// Part of a keyword or of an unquoted name.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || (c as u32) >= 0x80 && c.is_alphanumeric()
}

/// Part of a variable's name; the point separates its scope.
fn is_variable(c: char) -> bool {
    is_word(c) || c == '.'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(sql: &str) -> Vec<Kind> {
        tokens(sql)
            .expect("tokens")
            .into_iter()
            .map(|token| token.kind)
            .collect()
    }

    #[test]
    fn comments_and_white_space_are_skipped() {
        let word = |text: &str| Kind::Word(text.to_owned());
        let expected = vec![word("SELECT"), Kind::Number("1".to_owned())];
        for sql in [
            "SELECT 1",
            " \t\r\nSELECT\n1 ",
            "/* a */ SELECT /* b */ 1 -- c",
            "# a\nSELECT 1 --",
            "/*!40101 SELECT 1 */",
            "/*!SELECT*/ 1 /* open",
        ] {
            assert_eq!(kinds(sql), expected, "{sql}");
        }
    }

    #[test]
    fn quotes_are_resolved() {
        assert_eq!(
            kinds(r#"'it''s' "a\"b" '\n\\' `x``y`"#),
            vec![
                Kind::Text("it's".to_owned()),
                Kind::Text("a\"b".to_owned()),
                Kind::Text("\n\\".to_owned()),
                Kind::Quoted("x`y".to_owned()),
            ]
        );
        assert_eq!(tokens("SELECT 'open"), Err(7));
        assert_eq!(tokens(r"'\"), Err(0));
    }

    #[test]
    fn variables_are_one_token() {
        assert_eq!(
            kinds("@a @'b c' @@x @@GLOBAL.y"),
            vec![
                Kind::UserVariable("a".to_owned()),
                Kind::UserVariable("b c".to_owned()),
                Kind::SystemVariable("x".to_owned()),
                Kind::SystemVariable("GLOBAL.y".to_owned()),
            ]
        );
    }
}
