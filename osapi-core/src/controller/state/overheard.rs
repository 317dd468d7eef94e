//! Words about what is not known yet: an agent may speak to every controller before all have read what one of them has written.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// How long a word is kept at least, as long as there is room.
const KEPT: Duration = Duration::from_secs(5);

/// The latest words `W` about each `K` that was not known. Moments are of the boottime clock.
#[derive(Debug)]
pub(super) struct Overheard<K, W> {
    /// Most words that are kept.
    most: usize,
    recent: Words<K, W>,
    /// What was recent before: dropped as a whole, so that nothing is ever searched for what is old.
    older: Words<K, W>,
    since: Duration,
}

#[derive(Debug)]
struct Words<K, W> {
    of: HashMap<K, Vec<W>>,
    count: usize,
}

impl<K, W> Default for Words<K, W> {
    fn default() -> Self {
        Self { of: HashMap::new(), count: 0 }
    }
}

impl<K: Eq + Hash, W> Overheard<K, W> {
    /// Nothing yet, and never more than `most` words.
    pub(super) fn at_most(most: usize) -> Self {
        Self { most, recent: Words::default(), older: Words::default(), since: Duration::ZERO }
    }

    /// Keeps a word for a while.
    pub(super) fn keep(&mut self, about: K, word: W, now: Duration) {
        let is_old = now.saturating_sub(self.since) >= KEPT;
        if is_old || self.recent.count >= self.most / 2 {
            self.older = std::mem::take(&mut self.recent);
            self.since = now;
        }
        self.recent.count += 1;
        self.recent.of.entry(about).or_default().push(word);
    }

    /// What was heard, in the order in which it was heard.
    pub(super) fn take(&mut self, about: &K) -> Vec<W> {
        let mut words = self.older.of.remove(about).unwrap_or_default();
        words.extend(self.recent.of.remove(about).unwrap_or_default());
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_for_a_while_in_their_order() {
        let mut overheard = Overheard::at_most(100);
        overheard.keep('a', 1, Duration::from_secs(10));
        overheard.keep('a', 2, Duration::from_secs(15));
        assert_eq!(overheard.take(&'a'), [1, 2]);
        assert!(overheard.take(&'a').is_empty());
        for at in [20, 25, 30] {
            overheard.keep('b', 1, Duration::from_secs(at));
            if at == 20 {
                overheard.keep('a', 3, Duration::from_secs(at));
            }
        }
        assert!(overheard.take(&'a').is_empty(), "dropped after a while");
    }

    #[test]
    fn their_number_is_bounded() {
        let mut overheard = Overheard::at_most(100);
        for n in 0..200 {
            overheard.keep(n, n, Duration::ZERO);
        }
        assert!(overheard.recent.of.len() + overheard.older.of.len() <= 100);
        assert_eq!(overheard.take(&199), [199], "the latest are kept");
    }
}
