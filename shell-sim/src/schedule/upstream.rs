//! What can happen on the source's side, and its text form.

use std::fmt;
use std::str::SplitWhitespace;

use serde::{Deserialize, Serialize};

/// What happens on the source's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Upstream {
    /// A replica of the source takes over: clients write to it, and the operator names it.
    Promote {
        /// It lacks so many of the source's last transactions.
        lag: u64,
        /// It has so many that nobody else has.
        errant: u64,
        /// Whether the old source is dead; else it still answers.
        dead: bool,
    },
    /// Clients and the operator go to this source, as it stands.
    Return {
        /// Its number, from 1.
        source: u64,
    },
    /// The source gets what it lacks of the store's transactions.
    CatchUp,
    /// The source's machine dies, and it comes back without its last transactions.
    LoseTail {
        /// So many.
        transactions: u64,
    },
    /// The same, without its last binlog file: the next one gets its name.
    LoseFile,
    /// The source purges its binlog files.
    Purge {
        /// All but so many.
        keep: u64,
    },
    /// The source is stopped, and started with a later version.
    Upgrade,
    /// The source changes `binlog_checksum`, from CRC32 to NONE or back.
    Checksum,
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Upstream::Promote { lag, errant, dead } => {
                let old = if *dead { "dead" } else { "alive" };
                write!(f, "source-promote lag {lag} errant {errant} old {old}")
            }
            Upstream::Return { source } => write!(f, "source-return {source}"),
            Upstream::CatchUp => f.write_str("source-catch-up"),
            Upstream::LoseTail { transactions } => write!(f, "source-lose-tail {transactions}"),
            Upstream::LoseFile => f.write_str("source-lose-file"),
            Upstream::Purge { keep } => write!(f, "source-purge keep {keep}"),
            Upstream::Upgrade => f.write_str("source-upgrade"),
            Upstream::Checksum => f.write_str("source-checksum"),
        }
    }
}

impl Upstream {
    /// Reads what follows the word `name`. None: it is no such fault.
    pub(super) fn parse(
        name: &str,
        words: &mut SplitWhitespace<'_>,
    ) -> Option<Result<Upstream, String>> {
        let what = match name {
            "source-promote" => number(words, Some("lag")).and_then(|lag| {
                let errant = number(words, Some("errant"))?;
                let old = (words.next(), words.next());
                let dead = match old {
                    (Some("old"), Some("dead")) => true,
                    (Some("old"), Some("alive")) => false,
                    _ => return Err("'old dead' or 'old alive' is missing".to_owned()),
                };
                Ok(Upstream::Promote { lag, errant, dead })
            }),
            "source-return" => number(words, None).map(|source| Upstream::Return { source }),
            "source-catch-up" => Ok(Upstream::CatchUp),
            "source-lose-tail" => {
                number(words, None).map(|transactions| Upstream::LoseTail { transactions })
            }
            "source-lose-file" => Ok(Upstream::LoseFile),
            "source-purge" => number(words, Some("keep")).map(|keep| Upstream::Purge { keep }),
            "source-upgrade" => Ok(Upstream::Upgrade),
            "source-checksum" => Ok(Upstream::Checksum),
            _ => return None,
        };
        Some(what)
    }
}

fn number(words: &mut SplitWhitespace<'_>, behind: Option<&str>) -> Result<u64, String> {
    if let Some(name) = behind
        && words.next() != Some(name)
    {
        return Err(format!("'{name}' is missing"));
    }
    let word = words.next().unwrap_or_default();
    let number = word.parse();
    number.map_err(|_| format!("'{word}' is not a number"))
}
