//! What the index answers to a node's questions.

use kingbus_core::node::port::{DiskEffect, DiskInput};

use super::Disk;
use crate::schedule::Settings;

impl Disk {
    /// The answer to a question. None: it is none, or not one for the index.
    pub fn answer(&self, question: &DiskEffect, world: &Settings) -> Option<DiskInput> {
        let index = &self.index;
        Some(match *question {
            DiskEffect::ReadRows {
                token,
                from,
                to,
                rows_max,
            } => {
                let fit = world.read_rows_max.max(1) as usize;
                let rows = index.rows(from, to, rows_max.min(fit));
                DiskInput::Rows { token, rows }
            }
            DiskEffect::ReadCheckpoint { token, at } => {
                let checkpoint = index.checkpoint(at);
                DiskInput::Checkpoint { token, checkpoint }
            }
            DiskEffect::FindCheckpoint {
                token,
                ref has,
                from,
                to,
            } => {
                let checkpoint = index.checkpoint_within(has, from, to);
                DiskInput::Checkpoint { token, checkpoint }
            }
            DiskEffect::ReadFile { token, at } => {
                let file = index.file(at);
                DiskInput::File { token, file }
            }
            DiskEffect::ReadFiles {
                token,
                from,
                files_max,
            } => {
                let files = index.files(from, files_max);
                DiskInput::Files { token, files }
            }
            DiskEffect::ReadBody { .. }
            | DiskEffect::Create { .. }
            | DiskEffect::Write { .. }
            | DiskEffect::Forget { .. }
            | DiskEffect::Index(_) => return None,
        })
    }
}
