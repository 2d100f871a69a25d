//! How a replica is told of a binlog file: an artificial ROTATE, and where a dump starts or a jump ends the
//! file's header before events from its middle.

use bytes::Bytes;

use super::cursor::{Act, Cursor, Question, View};
use super::index::BinlogFile;
use crate::chunk::HEAD_LEN;
use crate::event::{make_heartbeat, make_heartbeat_v2, make_rotate, without_created};
use crate::planted::{Bug, planted};
use crate::types::Span;

/// Position of the first event in a binlog file.
const FIRST_POSITION: u64 = 4;

/// What goes out before the events of a chunk.
pub(super) struct Announcement {
    /// Events made here; none when the replica knows the file.
    pub(super) head: Bytes,
    /// Bytes at the beginning of the chunk's events that `head` has already.
    pub(super) header_len: u32,
}

impl Cursor {
    /// Tells the replica of the file with this number, unless it was told. None: the disk was asked.
    pub(super) fn announce(
        &mut self,
        ordinal: u64,
        view: &View<'_>,
        acts: &mut Vec<Act>,
    ) -> Option<Announcement> {
        if self
            .announced
            .as_ref()
            .is_some_and(|known| known.ordinal == ordinal || planted(Bug::FileNotAnnounced))
        {
            return Some(Announcement {
                head: Bytes::new(),
                header_len: 0,
            });
        }
        let current = view.applied.file.iter().chain(&self.file);
        let Some(file) = current
            .into_iter()
            .find(|file| file.ordinal == ordinal)
            .cloned()
        else {
            self.ask(Question::File(self.next), acts);
            return None;
        };
        // Until a format description says otherwise, checksums are as the client asked.
        let known = self.announced.as_ref();
        let checksum = known.map_or(self.request.checksum, |known| known.checksum);
        let mut head = make_rotate(view.server_id, &file.name, FIRST_POSITION, checksum);
        let mut header_len = 0;
        let begins = file.first == self.next;
        let lands = !begins && !planted(Bug::JumpForgetsFile);
        if self.announced.is_none() || lands {
            // The header that was asked for may be that of a file before this one.
            let right = |span: Span| span == file.span || planted(Bug::HeaderOfOtherFile);
            let header = self.header.take().filter(|(span, _)| right(*span));
            let Some((_, entry)) = header else {
                self.file = Some(file.clone());
                self.ask(Question::Header(file.span), acts);
                return None;
            };
            self.put_header(&mut head, &file, &entry);
            if begins {
                header_len = file.header_len;
            }
        }
        self.file = None;
        self.announced = Some(file);
        self.rotated = false;
        Some(Announcement {
            head: head.into(),
            header_len,
        })
    }

    /// Format description and PREVIOUS_GTIDS. A replica that has transactions must not take this file for
    /// the first one after a restart of the source, or it drops its temporary tables.
    fn put_header(&self, head: &mut Vec<u8>, file: &BinlogFile, entry: &[u8]) {
        let from = HEAD_LEN;
        let format = &entry[from..from + file.format_len as usize];
        let previous = &entry[from + file.format_len as usize..from + file.header_len as usize];
        if self.request.executed.is_empty() || planted(Bug::RestartTold) {
            head.extend_from_slice(format);
        } else {
            head.extend_from_slice(&without_created(format));
        }
        head.extend_from_slice(previous);
    }

    /// A heartbeat in the form that the replica asked for, in the file that was announced. A replica that was
    /// sent the end of that file is told first that it is still there: a heartbeat from another file than it
    /// expects is an error to it, and it stops (`rpl_replica.cc` of MySQL 9).
    pub(super) fn heartbeat(&mut self, position: u64, view: &View<'_>) -> Bytes {
        let rotated = std::mem::take(&mut self.rotated) && !planted(Bug::RotateForgotten);
        let file = self
            .announced
            .as_ref()
            .expect("a file comes before a heartbeat");
        let make = if self.request.heartbeat_v2 {
            make_heartbeat_v2
        } else {
            make_heartbeat
        };
        let beat = make(view.server_id, &file.name, position, file.checksum);
        if !rotated {
            return beat.into();
        }
        let mut head = make_rotate(view.server_id, &file.name, position, file.checksum);
        head.extend_from_slice(&beat);
        head.into()
    }
}
