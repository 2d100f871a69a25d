//! Defects planted into the models' wiring, to show that the oracles bite.

/// A defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Plant {
    /// The disk says `Written` before the bytes are durable.
    WrittenBeforeDurable,
    /// The network alters a byte now and then, and nobody checks.
    AlteredBytes,
    /// A transaction is left out of what a replica is sent.
    SkippedTransaction,
    /// The source is told of a transaction when the node has it, not when it is committed.
    EarlyAcknowledgement,
    /// A node's recovery begins with an empty disk.
    ForgottenDisk,
    /// A node takes for durable what it reads when it starts.
    OpenedUnsynced,
}

impl Plant {
    /// All of them.
    pub const ALL: [Plant; 6] = [
        Plant::WrittenBeforeDurable,
        Plant::AlteredBytes,
        Plant::SkippedTransaction,
        Plant::EarlyAcknowledgement,
        Plant::ForgottenDisk,
        Plant::OpenedUnsynced,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Plant::WrittenBeforeDurable => "written-before-durable",
            Plant::AlteredBytes => "altered-bytes",
            Plant::SkippedTransaction => "skipped-transaction",
            Plant::EarlyAcknowledgement => "early-acknowledgement",
            Plant::ForgottenDisk => "forgotten-disk",
            Plant::OpenedUnsynced => "opened-unsynced",
        }
    }
}
