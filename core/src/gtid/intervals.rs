//! A set of numbers as sorted intervals.

/// `first..=last`, never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) first: u64,
    pub(super) last: u64,
}

/// Numbers below `u64::MAX`.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Intervals {
    /// Ascending, with at least one number missing between neighbours.
    list: Vec<Interval>,
}

impl Intervals {
    /// Of intervals in any order, which may overlap.
    pub(super) fn from_unsorted(mut list: Vec<Interval>) -> Self {
        list.sort_unstable_by_key(|i| i.first);
        list.dedup_by(|next, kept| {
            let joins = next.first <= kept.last + 1;
            if joins {
                kept.last = kept.last.max(next.last);
            }
            joins
        });
        Intervals { list }
    }

    pub(super) fn as_slice(&self) -> &[Interval] {
        &self.list
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn contains(&self, n: u64) -> bool {
        self.contains_range(n, n)
    }

    pub(super) fn contains_all(&self, other: &Intervals) -> bool {
        let mut theirs = other.list.iter();
        theirs.all(|i| self.contains_range(i.first, i.last))
    }

    pub(super) fn intersects(&self, other: &Intervals) -> bool {
        let (few, many) = if self.list.len() < other.list.len() {
            (self, other)
        } else {
            (other, self)
        };
        let mut few = few.list.iter();
        few.any(|i| {
            let at = many.first_ending_at_or_after(i.first);
            many.list.get(at).is_some_and(|hit| hit.first <= i.last)
        })
    }

    /// How many numbers, saturating.
    pub(super) fn count(&self) -> u64 {
        let lens = self.list.iter().map(|i| i.last - i.first + 1);
        lens.fold(0, u64::saturating_add)
    }

    /// Adds `first..=last`. At the end of the list this is the work of a push, elsewhere that of
    /// an insert.
    pub(super) fn add(&mut self, first: u64, last: u64) {
        match self.list.last_mut() {
            Some(end) if end.last + 1 < first => self.list.push(Interval { first, last }),
            Some(end) if end.first <= first => end.last = end.last.max(last),
            None => self.list.push(Interval { first, last }),
            Some(_) => self.insert(first, last),
        }
    }

    fn insert(&mut self, first: u64, last: u64) {
        let from = self.list.partition_point(|i| i.last + 1 < first);
        let to = from + self.list[from..].partition_point(|i| i.first <= last + 1);
        let joined = &self.list[from..to];
        let grown = Interval {
            first: joined.first().map_or(first, |i| i.first.min(first)),
            last: joined.last().map_or(last, |i| i.last.max(last)),
        };
        if let [only] = joined {
            let only = *only;
            if only != grown {
                self.list[from] = grown;
            }
        } else {
            self.list.splice(from..to, [grown]);
        }
    }

    pub(super) fn union(&mut self, other: &Intervals) {
        /// Up to so many, insert one by one; more are merged in one pass.
        const FEW: usize = 4;
        if other.list.len() <= FEW {
            for i in &other.list {
                self.add(i.first, i.last);
            }
        } else {
            let mut all = Vec::with_capacity(self.list.len() + other.list.len());
            all.extend_from_slice(&self.list);
            all.extend_from_slice(&other.list);
            *self = Intervals::from_unsorted(all);
        }
    }

    pub(super) fn minus(&self, other: &Intervals) -> Intervals {
        let mut list = Vec::new();
        let mut holes = other.list.as_slice();
        for i in &self.list {
            let mut first = i.first;
            let passed = holes.iter().take_while(|h| h.last < first).count();
            holes = &holes[passed..];
            for hole in holes.iter().take_while(|h| h.first <= i.last) {
                if first < hole.first {
                    let last = hole.first - 1;
                    list.push(Interval { first, last });
                }
                first = hole.last + 1;
            }
            if first <= i.last {
                let last = i.last;
                list.push(Interval { first, last });
            }
        }
        Intervals { list }
    }

    pub(super) fn intersection(&self, other: &Intervals) -> Intervals {
        let mut list = Vec::new();
        let mut a = self.list.iter().peekable();
        let mut b = other.list.iter().peekable();
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            let first = x.first.max(y.first);
            let last = x.last.min(y.last);
            if first <= last {
                list.push(Interval { first, last });
            }
            if x.last < y.last {
                a.next();
            } else {
                b.next();
            }
        }
        Intervals { list }
    }

    fn contains_range(&self, first: u64, last: u64) -> bool {
        let at = self.first_ending_at_or_after(first);
        let found = self.list.get(at);
        found.is_some_and(|i| i.first <= first && last <= i.last)
    }

    fn first_ending_at_or_after(&self, n: u64) -> usize {
        match self.list.last() {
            // The newest interval is what nearly all questions are about.
            Some(end) if end.first <= n && n <= end.last => self.list.len() - 1,
            _ => self.list.partition_point(|i| i.last < n),
        }
    }
}
