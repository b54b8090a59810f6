//! The connections of a listener, never more than a bound.

use std::collections::VecDeque;

use tokio::task::JoinHandle;

/// More than all who watch a service at a time.
const COUNT_MAX: usize = 64;

/// The connections that may still be open, the oldest first.
///
/// When there are too many, the oldest is cut: an honest one is answered at once and is never among them for long, so
/// those who hold theirs open keep nobody out.
#[derive(Debug, Default)]
pub(super) struct Connections(VecDeque<JoinHandle<()>>);

impl Connections {
    /// Adds one.
    pub fn add(&mut self, connection: JoinHandle<()>) {
        self.0.retain(|open| !open.is_finished());
        if self.0.len() >= COUNT_MAX
            && let Some(oldest) = self.0.pop_front()
        {
            oldest.abort();
        }
        self.0.push_back(connection);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn the_oldest_is_cut_when_there_are_too_many() {
        let mut connections = Connections::default();
        let held: Vec<Arc<()>> = (0..COUNT_MAX + 2).map(|_| Arc::default()).collect();
        for handle in held.iter().cloned() {
            connections.add(tokio::spawn(async move {
                let _handle = handle;
                pending().await
            }));
        }
        tokio::task::yield_now().await;
        let open: Vec<bool> = held.iter().map(|handle| Arc::strong_count(handle) > 1).collect();
        let expected: Vec<bool> = (0..COUNT_MAX + 2).map(|index| index >= 2).collect();
        assert_eq!(open, expected);
    }

    #[tokio::test]
    async fn those_that_are_answered_do_not_count() {
        let mut connections = Connections::default();
        for _ in 0..3 * COUNT_MAX {
            connections.add(tokio::spawn(async {}));
            tokio::task::yield_now().await;
        }
        assert!(connections.0.len() <= 2);
    }
}
