//! Stored WAL that the server never had: where its history left the timeline before.
//!
//! A standby that is promoted may lack what its primary wrote last, and what was received from that. The original then
//! asks for ever for what comes next on the old timeline.

use super::ReceiveError;
use super::history;
use super::report::Event;
use super::session::{Session, history_file};
use super::start_point::StartPoint;

impl Session<'_> {
    /// Returns where to go on in the server's history: behind what is stored, unless the server left that timeline
    /// before.
    pub(super) async fn on_servers_branch(
        &mut self,
        stored: StartPoint,
    ) -> Result<StartPoint, ReceiveError> {
        let latest = self.cluster.timeline;
        if stored.timeline >= latest {
            return Ok(stored);
        }
        let file = history_file(&self.query_history(latest).await?, latest)?;
        let mut point = stored;
        // Each turn ends a timeline, and there are no more of them than lines.
        while let Some((left_at, next)) = history::left_at(&file.contents, point.timeline, latest)
            && point.at > left_at
            && next > point.timeline
        {
            let StartPoint { at: stored_to, timeline } = point;
            self.job.observer.report(Event::OtherBranch { timeline, left_at, stored_to });
            let further = self.stored(Some(next)).await?.map(|found| found.point);
            let begin = StartPoint { at: left_at, timeline: next };
            point = further.filter(|further| further.at > left_at).unwrap_or(begin);
        }
        Ok(point)
    }
}
