//! How hardware fails, beyond losing what was never synced, and its text form.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::text::Words;
use super::{Moment, Target};

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hardware {
    /// An `fdatasync` of a node does not come back.
    StuckDisk {
        /// The node.
        target: Target,
    },
    /// What was durable on a node goes bad.
    Corrupt {
        /// The node.
        target: Target,
        /// How.
        harm: Harm,
        /// At so many places, or in so many sectors.
        count: u64,
    },
    /// The next `fdatasync` of a node says that a sector is durable which it has lost.
    LoseWrite {
        /// The node.
        target: Target,
        /// Whether it lands in another place, over what was there.
        elsewhere: bool,
    },
    /// A node dies, and its disk is empty when it starts again.
    Wipe {
        /// The node.
        target: Target,
    },
    /// Reads of a node go wrong.
    BadReads {
        /// The node.
        target: Target,
        /// How.
        how: BadReads,
    },
    /// The connection on which a node sends to another dies; it finds out after the fault's time.
    Disconnect {
        /// The sender.
        from: Target,
        /// The receiver.
        to: Target,
        /// Now, or inside of the next large frame.
        moment: Moment,
    },
    /// A clock jumps ahead.
    ClockJump {
        /// The node.
        target: Target,
        /// So many milliseconds, all at once.
        by_ms: u64,
    },
    /// A clock stands still while the node goes on.
    ClockStop {
        /// The node.
        target: Target,
    },
}

/// What becomes of bytes that were durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Harm {
    /// Bits change.
    Bits,
    /// Sectors read as zeros.
    Zeroed,
    /// Sectors hold what was meant for another place of the log.
    Misdirected,
}

/// What becomes of reads for a while; what is stored stays whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BadReads {
    /// They fail.
    Failing,
    /// They give a sector of another place of the log.
    Misdirected,
}

impl fmt::Display for Hardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hardware::StuckDisk { target } => write!(f, "stuck-disk {target}"),
            Hardware::Corrupt {
                target,
                harm,
                count,
            } => write!(f, "corrupt {target} {harm} {count}"),
            Hardware::LoseWrite { target, elsewhere } => {
                let what = if *elsewhere {
                    "misdirect-write"
                } else {
                    "lose-write"
                };
                write!(f, "{what} {target}")
            }
            Hardware::Wipe { target } => write!(f, "wipe {target}"),
            Hardware::BadReads { target, how } => write!(f, "bad-reads {target} {how}"),
            Hardware::Disconnect { from, to, moment } => {
                write!(f, "disconnect {from} to {to} {moment}")
            }
            Hardware::ClockJump { target, by_ms } => write!(f, "clock-jump {target} by {by_ms}"),
            Hardware::ClockStop { target } => write!(f, "clock-stop {target}"),
        }
    }
}

impl Hardware {
    /// Reads what follows the word `name`. None: it is no such fault.
    pub(super) fn parse(name: &str, words: &mut Words<'_>) -> Option<Result<Hardware, String>> {
        let what = match name {
            "stuck-disk" => words.target().map(|target| Hardware::StuckDisk { target }),
            "corrupt" => corrupt(words),
            "lose-write" | "misdirect-write" => {
                let elsewhere = name == "misdirect-write";
                let target = words.target();
                target.map(|target| Hardware::LoseWrite { target, elsewhere })
            }
            "wipe" => words.target().map(|target| Hardware::Wipe { target }),
            "bad-reads" => bad_reads(words),
            "disconnect" => disconnect(words),
            "clock-jump" => clock_jump(words),
            "clock-stop" => words.target().map(|target| Hardware::ClockStop { target }),
            _ => return None,
        };
        Some(what)
    }
}

fn corrupt(words: &mut Words<'_>) -> Result<Hardware, String> {
    let target = words.target()?;
    let word = words.word("what becomes of it")?;
    let harm = Harm::ALL.into_iter().find(|harm| harm.to_string() == word);
    let harm = harm.ok_or_else(|| format!("'{word}' is not bits, zeroed or misdirected"))?;
    let count = words.number("how much of it")?;
    Ok(Hardware::Corrupt {
        target,
        harm,
        count,
    })
}

fn bad_reads(words: &mut Words<'_>) -> Result<Hardware, String> {
    let target = words.target()?;
    let word = words.word("what becomes of reads")?;
    let how = BadReads::ALL
        .into_iter()
        .find(|how| how.to_string() == word);
    let how = how.ok_or_else(|| format!("'{word}' is not failing or misdirected"))?;
    Ok(Hardware::BadReads { target, how })
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Harm::Bits => "bits",
            Harm::Zeroed => "zeroed",
            Harm::Misdirected => "misdirected",
        })
    }
}

impl fmt::Display for BadReads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadReads::Failing => "failing",
            BadReads::Misdirected => "misdirected",
        })
    }
}

impl Harm {
    /// All of them.
    pub const ALL: [Harm; 3] = [Harm::Bits, Harm::Zeroed, Harm::Misdirected];
}

impl BadReads {
    /// All of them.
    pub const ALL: [BadReads; 2] = [BadReads::Failing, BadReads::Misdirected];
}

fn disconnect(words: &mut Words<'_>) -> Result<Hardware, String> {
    let from = words.target()?;
    words.this("to")?;
    let (to, moment) = (words.target()?, words.moment()?);
    match moment {
        Moment::Now | Moment::Inside => Ok(Hardware::Disconnect { from, to, moment }),
        Moment::Syncing | Moment::Effects(_) | Moment::Starting => {
            Err(format!("'{moment}' is not now or inside"))
        }
    }
}

fn clock_jump(words: &mut Words<'_>) -> Result<Hardware, String> {
    let target = words.target()?;
    let by_ms = words.by()?;
    Ok(Hardware::ClockJump { target, by_ms })
}
