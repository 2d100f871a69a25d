//! Deliberate defects, to show that the simulator would find real ones. Each is an `if` at the place it
//! spoils, a constant `false` unless the feature `planted` is on.

macro_rules! bugs {
    ($($bug:ident = $name:literal: $doc:literal,)*) => {
        /// A defect.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Bug {
            $(#[doc = $doc] $bug,)*
        }

        impl Bug {
            /// All of them.
            pub const ALL: &[Bug] = &[$(Bug::$bug),*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Bug::$bug => $name,)*
                }
            }
        }
    };
}

bugs! {
    // Log.
    SyncNotAsked = "sync-not-asked": "Entries are written without asking for `fdatasync`.",
    HeaderCrcIgnored = "header-crc-ignored": "A record's header is believed without its checksum.",
    BodyCrcIgnored = "body-crc-ignored": "A record's body is believed without its checksum.",
    DamageCutAsTail = "damage-cut-as-tail": "What was durable and is bad is cut like a torn tail.",
    ReadErrorCutAsTail = "read-error-cut-as-tail":
        "What cannot be read when a node starts is cut like a torn tail.",
    ClaimSoughtNearby = "claim-sought-nearby":
        "What says that a bad record was durable is looked for close behind it only.",
    ChainIgnored = "chain-ignored": "A record need not follow the one before it.",
    ColdReadUnchecked = "cold-read-unchecked": "A record is read back without a look at its checksums.",
    DurableClaimedEarly = "durable-claimed-early": "A record says that all before it is durable.",
    VoteNotWritten = "vote-not-written": "Term and vote are not written when they change.",
    SegmentForgetsVote = "segment-forgets-vote": "A segment begins without the vote.",

    // Recovery.
    VoteForgottenAtStart = "vote-forgotten-at-start": "A node starts without the vote it gave.",
    ReplacedEntriesKept = "replaced-entries-kept": "A later record replaces nothing.",
    UncommittedAppliedAtStart = "uncommitted-applied-at-start": "All that was written is applied.",
    CheckpointOfNextSegment = "checkpoint-of-next-segment": "A checkpoint names the segment after.",
    CheckpointForgetsOpen = "checkpoint-forgets-open":
        "A checkpoint leaves out the open transaction.",
    IndexNotRefilled = "index-not-refilled": "What the index lost is not put into it again.",
    WrittenBehindSeal = "written-behind-seal": "A node that starts goes on behind a seal.",

    // A disk that fails.
    DamagedNodeVotes = "damaged-node-votes": "A damaged node stays in the cluster.",
    DamagedNodeAnswers = "damaged-node-answers":
        "A damaged node sends what waited for its disk before.",
    DamagedNodeServes = "damaged-node-serves": "A damaged node goes on serving.",
    DamageForgotten = "damage-forgotten": "A durable write makes a damaged node sound again.",
    HandedOverToNobody = "handed-over-to-nobody":
        "A leader that was asked to hand over is done before another one leads.",
    StuckLeaderStays = "stuck-leader-stays": "A leader whose disk does not answer goes on leading.",

    // Replication.
    AnsweredOnce = "answered-once": "A follower never says the same again of its log.",
    SyncNotAwaited = "sync-not-awaited": "A follower answers before its write is durable.",
    AllSettledAtOnce = "all-settled-at-once": "A durable write counts for the later ones too.",
    AppliedWhenWritten = "applied-when-written": "Entries count when they are written.",
    RaftEntriesKept = "raft-entries-kept": "Raft sees entries behind one that was replaced.",

    OwnDiskCountedEarly = "own-disk-counted-early":
        "A follower counts what is written for what its disk has.",
    OtherTermCounted = "other-term-counted":
        "A follower counts entries that may not be the leader's.",

    // Members.
    EmptiedDiskCounts = "emptied-disk-counts": "A node counts whatever disk it comes with.",
    FoundedByMajority = "founded-by-majority": "A cluster begins with the votes of a majority.",
    LearnerCounted = "learner-counted": "A learner counts like a voter.",
    OutgoingIgnored = "outgoing-ignored": "A change of voters needs no majority of the old ones.",
    JointNeverLeft = "joint-never-left": "Nobody ends a change of voters.",
    CommitWrittenLate = "commit-written-late":
        "A record says what is applied, not what its entries' leader knew as committed.",
    LeavingLeaderStays = "leaving-leader-stays": "A leader that leaves does not hand over, and goes on.",
    CheckpointForgetsMembers = "checkpoint-forgets-members":
        "A checkpoint leaves out who belongs to the cluster.",
    MembersTakenWhenRead = "members-taken-when-read":
        "A node that starts takes a change of the members that is not committed.",
    EntryTypeForgotten = "entry-type-forgotten":
        "A follower that is far behind gets a change of the members as an unknown entry.",

    // Memory.
    MetasKept = "metas-kept": "Applied entries stay in memory.",

    // Ingest.
    AcknowledgedWhenProposed = "acknowledged-when-proposed":
        "The source is told before the commit.",
    AcknowledgedWithChunkBefore = "acknowledged-with-chunk-before":
        "A transaction is taken to be in the chunk before its own.",
    GtidCountedAtFirstPart = "gtid-counted-at-first-part": "A GTID counts with its first part.",
    RepeatedGtidCounted = "repeated-gtid-counted":
        "The source is asked too early, and what it sends again counts twice.",
    RefusedEpochForgotten = "refused-epoch-forgotten":
        "The source is asked too early, and a chunk counts that follows one which did not.",
    OpenCountedInDump = "open-counted-in-dump":
        "The source is not asked for the rest of a transaction.",
    DumpWithoutPurged = "dump-without-purged":
        "The source is asked for what the store will never have.",
    LackingSourceAccepted = "lacking-source-accepted":
        "A source is followed that lacks transactions which the store has.",
    PurgedSourceAccepted = "purged-source-accepted":
        "A source is followed that purged transactions which the store needs.",
    SourceJudgedEarly = "source-judged-early":
        "A source is judged before what an earlier one brought has counted.",
    OwnedIgnored = "owned-ignored": "What waits for our acknowledgement counts as lacking.",
    FileNumberNotRaised = "file-number-not-raised":
        "The files of another source keep their numbers.",
    FileHeadNotCompared = "file-head-not-compared":
        "A file goes on whatever its head says, as long as its name is the same.",
    FileMayGoBack = "file-may-go-back":
        "A file that lost its end may go on with something else.",
    FileHeaderAlone = "file-header-alone": "A file's format description is given out alone.",

    // Purge and snapshots.
    PurgedOnlyHere = "purged-only-here": "A leader purges without an entry.",
    PurgeForgetsGtids = "purge-forgets-gtids": "What a purge takes is not in the purged set.",
    PurgeOneTooFar = "purge-one-too-far": "The first entry that stays goes too.",
    PurgedUnderReader = "purged-under-reader":
        "A replica reads on when what it is to read is purged.",
    DeletedEarly = "deleted-early": "Files are deleted before the log knows on disk.",
    OldLogKept = "old-log-kept": "A snapshot is restored beside the old log.",
    SnapshotCommitsTail = "snapshot-commits-tail":
        "A snapshot that is torn commits what was in the log before.",
    SnapshotAnsweredEarly = "snapshot-answered-early":
        "A snapshot is answered before it is durable.",
    SnapshotForgetsFile = "snapshot-forgets-file": "A snapshot leaves out the binlog file.",
    SnapshotForgetsPurged = "snapshot-forgets-purged": "A snapshot leaves out the purged set.",

    // Cursors.
    SearchOneTooFar = "search-one-too-far": "The search ends one entry too far.",
    SearchOneCheckpointTooFar = "search-one-checkpoint-too-far":
        "The search ends at the first checkpoint that has what the replica lacks.",
    SearchInsideTransaction = "search-inside-transaction": "The search may end between two parts.",
    AbortedPartSent = "aborted-part-sent": "A transaction that was given up is sent.",
    KnownForgotten = "known-forgotten": "What the replica has is sent again.",
    KnownDroppedAtFirstPart = "known-dropped-at-first-part":
        "A transaction that the replica has is passed over with its first part only.",
    KnownSentInChunk = "known-sent-in-chunk": "A chunk is sent as a whole or not at all.",
    HeaderOfOtherFile = "header-of-other-file":
        "A dump may begin with the header of a file before.",
    JumpForgetsFile = "jump-forgets-file":
        "A replica is not given the header of the file in which a jump ends.",
    RotateForgotten = "rotate-forgotten":
        "A heartbeat names a file whose end the replica was sent.",
    FileNotAnnounced = "file-not-announced": "The replica is not told of a new file.",
    RestartTold = "restart-told": "A replica that goes on is told of a restart of the source.",
    CreditIgnored = "credit-ignored": "A replica is sent more than it reads.",

    // Serving.
    ServedPastVisible = "served-past-visible": "Parts are served before the last one is there.",
    ServedUncommitted = "served-uncommitted": "Entries are served before they are committed.",
    PurgedNotMissed = "purged-not-missed":
        "A replica is served that lacks what the store never had.",
    OldDumpKept = "old-dump-kept": "A replica that comes again keeps its earlier dump.",
    StaleNodeServes = "stale-node-serves": "A node without a leader serves.",
}

/// Whether this defect is planted on this thread.
#[cfg(feature = "planted")]
pub(crate) fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether this defect is planted: never.
#[cfg(not(feature = "planted"))]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}

/// Plants a defect on this thread, in place of the one before.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

#[cfg(feature = "planted")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}
