//! What is looked after beside a stream: the slot on its host, and the slots on the other hosts.

use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};

use super::mirror;
use super::pulse::Pulse;
use super::server::Server;
use super::slot_watch;

/// Looks after everything until nothing more is wanted.
pub(super) async fn run(server: Arc<Server>, pulse: &Pulse) {
    let mut tasks = JoinSet::new();
    tasks.spawn(slot_watch::run(Arc::clone(&server)));
    tasks.spawn(mirror::keep_all(Arc::clone(&server)));
    let panicked = async {
        while let Some(ended) = tasks.join_next().await {
            if let Err(panic) = ended.map_err(JoinError::try_into_panic)
                && let Ok(panic) = panic
            {
                resume_unwind(panic);
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = server.stop.cancelled() => {}
        () = panicked => {}
        never = pulse.beat() => never,
    }
}
